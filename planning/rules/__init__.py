"""What goes together: rules across settings, what `auto` comes to, whether the model fits.

May import all packages of `planning` except `planning.services`.
"""
