"""Debian's packages: installing what is missing here, and making root file systems of any Debian release."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from machine.console import Step, StepFailed, run

MIRROR = os.environ.get("PAGEINDEX_STACK_DEBIAN_MIRROR", "http://deb.debian.org/debian")
CERTIFICATES = (Path("/etc/ssl/certs"), Path("/usr/local/share/ca-certificates"))
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def require_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise StepFailed(
            f"{purpose} needs root, and this runs as user id {os.geteuid()}",
            "run the same command with sudo, or set DOCKER_HOST to a Docker daemon that you may use",
        )


def require_space(directory: Path, needed_mib: int, purpose: str) -> None:
    """Refuse before anything is written, rather than leaving a full disk behind."""
    there = directory
    while not there.exists():
        there = there.parent
    usage = os.statvfs(there)
    free_mib = usage.f_bavail * usage.f_frsize // 2**20
    if free_mib < needed_mib:
        raise StepFailed(
            f"{purpose} needs {needed_mib} MiB in {directory}, and {free_mib} MiB are free",
            f"free {needed_mib - free_mib} MiB on the file system of {there}, then run the same command again",
        )


def ensure_tools(wanted: dict[str, str], current: Step, log: Path) -> None:
    """Install by apt what is not on PATH. ``wanted`` maps a command to the package that has it."""
    packages = sorted({package for command, package in wanted.items() if _missing(command)})
    if not packages:
        return
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise StepFailed(f"this machine has no apt-get, and {names} must be installed", f"install {names} by hand")
    require_root(f"installing {names}")
    mend = f"apt-get update && apt-get install {names}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Another package manager run (unattended upgrades, say) is waited for instead of failing on its lock.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    run([*apt, "update"], current, log=log, env=environment, mend=mend)
    run([*apt, "install", "-y", "--no-install-recommends", *packages], current, log=log, env=environment, mend=mend)


def _missing(command: str) -> bool:
    return shutil.which(command) is None and not Path("/usr/sbin", command).exists()


def apt_settings() -> list[str]:
    """This machine's own word on expired package lists, for roots that install from the same mirror."""
    if shutil.which("apt-config") is None:
        return []
    said = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    wanted = ("Acquire::Check-Valid-Until ", "Acquire::Check-Date ", "Acquire::http::Proxy ", "Acquire::https::Proxy ")
    return [line for line in said.splitlines() if line.startswith(wanted)]


def certificates_digest() -> str:
    """Changes when the certificate authorities that this machine trusts change."""
    digest = hashlib.sha256()
    if CA_BUNDLE.exists():
        digest.update(CA_BUNDLE.read_bytes())
    return digest.hexdigest()[:16]


def make_root(
    suite: str,
    packages: Sequence[str],
    target: Path,
    current: Step,
    log: Path,
    customize: Sequence[str] = (),
) -> None:
    """A minimal root of ``suite`` with ``packages``, as a directory, or as a tar file when ``target`` ends in .tar.

    The packages are verified as everywhere in Debian: mmdebstrap hands apt this machine's archive keyring,
    which signs forky too (bookworm's debian-archive-keyring has carried the newer keys since 12.6).
    """
    ensure_tools({"mmdebstrap": "mmdebstrap"}, current, log)
    options = [f"--aptopt={line}" for line in apt_settings()]
    for hook in customize:
        options.append(f"--customize-hook={hook}")
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", *options]
    # Man pages, translations and most docs are no use in a root that nobody logs in to; copyrights stay.
    command += [
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--include={','.join(packages)}",
        suite,
        str(target),
        f"deb {MIRROR} {suite} main",
    ]
    mend = f"curl -I {MIRROR}/dists/{suite}/InRelease   # must answer; PAGEINDEX_STACK_DEBIAN_MIRROR names another"
    run(command, current, log=log, mend=mend)


def certificate_hooks() -> list[str]:
    """Hooks that put this machine's certificate authorities into a root.

    Whoever sits behind a proxy that re-signs TLS trusts it here; a container that installs something must too.
    """
    hooks = []
    for directory in CERTIFICATES:
        if directory.is_dir():
            # Debian's are links to absolute paths: without --remove-destination cp would follow them back to here.
            hooks.append(f'mkdir -p "$1{directory}" && cp -aL --remove-destination {directory}/. "$1{directory}/"')
    return hooks
