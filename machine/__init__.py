"""What the machine that runs the commands has and gets: console, paths, Debian packages, Python environments.

The bottom of the set-up: imports the standard library and nothing else of ours.
"""
