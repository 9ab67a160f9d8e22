"""What `make up` does before and after Pulumi: find what is missing on a machine, add only that, ask one question.

May import `machine`, `toolchain`, `lab` and those parts of `planning` that need no installed package.
"""
