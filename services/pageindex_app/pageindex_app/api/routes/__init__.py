"""The app's own routes: one module a subject, none of which imports another.

Imports what lies beside it in `api`, but neither front.
"""
