"""An OpenAI-compatible API at /v1: routes, what a request may say, how a reply and an error look.

Imports what lies beside it in `api`, but neither `routes` nor the other front.
"""
