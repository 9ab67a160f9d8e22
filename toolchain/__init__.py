"""Pulumi's CLI, Python language host and plugins, built from Go modules where Pulumi's download site can't be reached.

Imports the standard library and `machine` only: it runs on a machine where nothing is installed yet.
"""

from toolchain.installation import Toolchain

__all__ = ["Toolchain", "ensure"]


def ensure() -> Toolchain:
    """Use the Pulumi that is there, or build it. Idempotent, and safe to run twice at once."""
    from toolchain import building  # costs a shell that only asks for its environment some milliseconds

    return building.ensure()
