"""What dockerd leaves on a machine when it ends: bridges and firewall chains. Removed when the lab is."""

from __future__ import annotations

import re

from lab.engine_root import in_root


def remove_interfaces_and_rules() -> None:
    """dockerd leaves its bridges and iptables chains in place when it ends. The caller sees to it that no other
    daemon runs, whose they could be."""
    listed = in_root("ip", "-o", "link", "show", "type", "bridge")
    for interface in re.findall(r"^\d+: (docker0|br-[0-9a-f]{12}):", listed, re.MULTILINE):
        in_root("ip", "link", "delete", interface)
    for tool in ("iptables", "ip6tables"):
        for table in ("filter", "nat", "raw"):
            _remove_chains(tool, table)


def _remove_chains(tool: str, table: str) -> None:
    saved = in_root(tool, "-t", table, "-S").splitlines()
    chains = [line.split()[1] for line in saved if re.match(r"-N DOCKER(-|$)", line)]
    for rule in saved:
        if rule.startswith("-A ") and re.search(r"DOCKER|docker0|br-[0-9a-f]{12}", rule):
            in_root(tool, "-t", table, "-D", *rule.split()[1:])
    for change in ("-F", "-X"):
        for chain in chains:
            in_root(tool, "-t", table, change, chain)
