"""From a question to an answer whose quotes hold: retrieval, two strategies, citations, conversations.

Imports `base`, `search`, `model` and `documents`.
"""
