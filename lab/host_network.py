"""The cable between this machine and the simulated GPU host: one virtual link, address translation for its way out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab import engine_root
from machine.console import StepFailed

# 198.18.0.0/15 is set aside for test networks (RFC 2544), so it is in nobody's way.
GATEWAY = "198.18.213.1"
ADDRESS = "198.18.213.2"
BRIDGE = "198.19.0.1/24"  # the host's docker0
POOL = "198.19.128.0/17"  # and its other networks
LINK = "lab-gpu-host"
ANSWERS = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
COMMENT = ("-m", "comment", "--comment", "pageindex-stack lab")
RULES = (
    ("nat", "POSTROUTING", ("-s", f"{ADDRESS}/32", "!", "-o", LINK, *COMMENT, "-j", "MASQUERADE")),
    ("filter", "FORWARD", ("-i", LINK, *COMMENT, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", LINK, *ANSWERS, *COMMENT, "-j", "ACCEPT")),
)


def connect(pid: int) -> None:
    """Plug a link into the network of process ``pid``, which waits for it and configures its own end."""
    # Its other end went with the process that had it; a leftover name would be an error.
    _tool("ip", "link", "delete", LINK, check=False)
    _tool("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _tool("ip", "address", "add", f"{GATEWAY}/30", "dev", LINK)
    _tool("ip", "link", "set", LINK, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    for table, chain, rule in RULES:
        # Appended: whatever another Docker engine here forbids about its own containers comes first.
        if _tool("iptables", "-w", "-t", table, "-C", chain, *rule, check=False) != 0:
            _tool("iptables", "-w", "-t", table, "-A", chain, *rule)


def disconnect() -> None:
    """Leave nothing of it."""
    if not engine_root.root().exists():
        return
    _tool("ip", "link", "delete", LINK, check=False)
    for table, chain, rule in RULES:
        while _tool("iptables", "-w", "-t", table, "-D", chain, *rule, check=False) == 0:
            pass


def _tool(*command: str, check: bool = True) -> int:
    """A command of the engine's root: the same tools, and the same kind of tables, that dockerd uses."""
    program, *arguments = command
    # `ip` looks the process up in /proc, which the root has none of; iptables wants its modules, which lie in the root.
    words = [
        *(engine_root.inside_root("ip") if program == "ip" else ["chroot", str(engine_root.root()), program]),
        *arguments,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise StepFailed(f"`{' '.join(command)}` failed: {done.stderr.strip()}", "python3 -m lab down")
    return done.returncode
