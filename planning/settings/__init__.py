"""What a stack file may say: one pydantic model an area, each error with the command that mends it.

The bottom of `planning`: imports nothing else of ours.
"""
