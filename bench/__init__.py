"""Measurements of the running dev stack. Each compares two things in interleaved rounds of one run.

May import everything but `devtools`; nothing imports it.
"""
