"""Each service of a stack as one description, without an engine: command, environment, files, limits, health.

May import all other packages of `planning`.
"""
