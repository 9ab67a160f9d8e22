"""Models by name: the catalog, and what a local directory says of its weights.

May import `planning.settings`.
"""
