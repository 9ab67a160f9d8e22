"""Documents: how they arrive, where they lie, what is known of them, how their pages look, who hears of changes.

Imports `base`, `search` and `workers`.
"""
