"""From an upload to a document that can be asked: the queue, and what runs in its workers.

Imports `base`, `workers`, `model` and `documents`.
"""
