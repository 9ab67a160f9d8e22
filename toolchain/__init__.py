"""Pulumi's CLI, Python language host and plugins, built from Go modules where Pulumi's download site can't be reached.

Standard library only: it runs on a machine where nothing is installed yet.
"""

from toolchain.installation import Toolchain, ensure

__all__ = ["Toolchain", "ensure"]
