"""Which ports a host listens on, from the kernel's own tables: no tool needs to be installed for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENING = "0A"


def listening(tables: str) -> set[tuple[str, int]]:
    """(address, port) of every listening socket in the text of /proc/net/tcp and tcp6."""
    found = set()
    for line in tables.splitlines():
        columns = line.split()
        if len(columns) > 3 and columns[3] == LISTENING and ":" in columns[1]:
            address, port = columns[1].rsplit(":", 1)
            found.add((_address(address), int(port, 16)))
    return found


def taken(bind: str, wanted: Iterable[int], sockets: set[tuple[str, int]]) -> list[int]:
    """Ports of ``wanted`` that cannot be had on ``bind``: somebody listens there, or on all addresses."""
    return sorted(
        port for port in wanted if any(number == port and _covers(address, bind) for address, number in sockets)
    )


def _covers(address: str, bind: str) -> bool:
    return bind == "0.0.0.0" or address in {bind, "0.0.0.0", "::"}


def _address(text: str) -> str:
    """The kernel writes addresses as 32-bit words in the machine's own byte order: little-endian on every GPU host."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))
