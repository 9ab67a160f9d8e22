"""How the machine that runs the program reaches the host it deployed to: commands, Docker, a tunnel, certificates.

Used by `checks`, `rollout` and whatever asks a running stack. May import `planning.hosts` and `machine.paths`.
"""
