"""Finding text by words: terms, BM25, a document prepared for both, search for pages.

Imports no other package of the app: it works on documents that are handed to it.
"""
