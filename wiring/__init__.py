"""What each component of the program is told: a plan and the wires between components become their arguments.

`models`: weights, servers and cards of each model. `front`: the app, the gateway, and what is asked of the whole.
Imports `planning`, `components` and `stack_file`.
"""
