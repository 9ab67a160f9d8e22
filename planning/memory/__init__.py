"""What a card holds: kinds of cards, replicas on them, the memory plan, its table, and suggestions that fit.

May import `planning.models`, `planning.hosts` and `planning.settings`.
"""
