"""The components for programs in other languages: typed inputs and descriptions, translated to the components' own.

May import `components` and `planning`; nothing imports it.
"""
