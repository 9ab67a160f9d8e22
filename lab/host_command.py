"""`python3 -m lab host PROFILE [FAULT…]`: start the simulated GPU host or give it other cards; say how to reach it."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cards import Faults
from lab.host import Host, ensure
from machine.console import StepFailed

FAULTS_USAGE = "foreign=CARD:MIB, hot=CARD:CELSIUS or missing=CARD; CARD counts from 0"


def describe(host: Host) -> str:
    """What a person needs to log in, or to point a stack at it."""
    return "\n".join(
        (
            f"cards          {host.profile}",
            f"address        {host.address}",
            f"identity file  {host.identity_file}",
            f"host key       {host.host_key}",
            f"log in         {' '.join(host.ssh())}",
        )
    )


def main(arguments: Sequence[str]) -> None:
    """`python3 -m lab host PROFILE [FAULT…]`."""
    profile, *wrong = arguments
    foreign: dict[int, int] = {}
    hot: dict[int, int] = {}
    missing: list[int] = []
    for word in wrong:
        kind, _, value = word.partition("=")
        card, _, amount = value.partition(":")
        try:
            if kind == "missing":
                missing.append(int(value))
            else:
                {"foreign": foreign, "hot": hot}[kind][int(card)] = int(amount)
        except (KeyError, ValueError):
            raise StepFailed(f"{word} is no fault of a card", FAULTS_USAGE) from None
    faults = Faults(foreign, hot, missing) if wrong else None
    print(describe(ensure(profile, faults)))
