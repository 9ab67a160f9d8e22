"""The host as planning knows it: how ssh reaches it, minimum versions, images, names of what runs there.

May import `planning.settings`.
"""
