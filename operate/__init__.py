"""Clients of a running stack: ask, list and prune models, evaluate answers.

May import `quickstart`, `machine`, `host_access`, `checks`, `components` and `planning`.
"""
