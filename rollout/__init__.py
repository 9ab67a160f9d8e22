"""Replacing a model in use: replica after replica, tried before it gets requests, taken back if it fails.

May import `checks`, `host_access` and `planning`.
"""
