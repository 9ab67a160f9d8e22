"""Calls to the language model: the client, what all calls of a request carry, and PageIndex's own calls.

Imports `base`.
"""
