"""What developers run on the code: checks and tests.

May import everything; nothing imports it.
"""
