"""Who may use the gateway: clients, their keys, and how long those are good. Pure; what is SECRET says so.

A key has a name: its client's, or ``client@label`` for a further key of the same client during a rotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date

from planning.settings.gateway import KEY_NAME_PATTERN

MIN_KEY_CHARS, MAX_KEY_CHARS = 32, 200
_KEY_NAME = re.compile(KEY_NAME_PATTERN)
# One look into a hash finds the key among however many, ignoring case; so the key itself stands beside its name, and is
# compared once more, in full.
_KEY_NAME_MAP = (
    'map "$credential $known_key" $key_name {',
    '    default "";',
    r'    "~^(?<sent_key>\S+) \k<sent_key> (?<its_name>\S+)$" $its_name;',
    "}",
)
# A name is a client's, up to an @; an expired key's begins with `expired/`, which is nobody's.
_CLIENT_MAP = (
    "map $expired_key$key_name $client {",
    '    default "";',
    '    "~^(?<its_client>[a-z0-9_-]+)(?:@|$)" $its_client;',
    "}",
)
_KEY = re.compile(rf"[A-Za-z0-9_-]{{{MIN_KEY_CHARS},{MAX_KEY_CHARS}}}")


def client_of(key_name: str) -> str:
    """Whose key it is."""
    return key_name.partition("@")[0]


def clients_of(key_names: Iterable[str]) -> list[str]:
    """Each client once, in the order in which they were named."""
    return list(dict.fromkeys(map(client_of, key_names)))


def render_client_keys(keys: Mapping[str, str]) -> str:
    """SECRET: ``gateway-clients.conf``. Which key has which name, and which client a name stands for."""
    if not keys:
        raise ValueError("no client has a key, so nobody could use the gateway: give at least one client a key")
    owner: dict[str, str] = {}
    lines = ["map $credential $known_key {", '    default "";']
    for name, key in keys.items():
        if not _KEY_NAME.fullmatch(name) or name.endswith("\n"):
            raise ValueError(f"client name {name!r}: wants 1 to 63 of a-z 0-9 _ -, starting with a letter or digit; "
                             "for one more key of a client, its name, @ and a label")  # fmt: skip
        _check_key(key, f"client {name!r}")
        if (other := owner.setdefault(key.lower(), name)) != name:
            raise ValueError(f"clients {other!r} and {name!r} have the same key, or keys that differ in case alone")
        lines.append(f'    {key} "{key} {name}";')
    lines += ["}", *_KEY_NAME_MAP, *_CLIENT_MAP]
    return "\n".join([*lines, ""])


def render_upstream_key(key: str) -> str:
    """SECRET: ``gateway-upstream.conf``, vLLM's own key, which takes the place of the client's."""
    _check_key(key, "vLLM")
    return f'map "" $vllm_authorization {{\n    default "Bearer {key}";\n}}\n'


def expiry_map(clients: Mapping[str, str], keys: Mapping[str, str]) -> list[str]:
    """nginx's map from key name and clock (in UTC) to ``expired/``, or to nothing. A key is good through its last day.

    A day is written as 2027-01-31. One among ``clients`` is for all keys of that client, one among ``keys`` for the
    key of that name alone.
    """
    lines = ['map "$key_name $time_iso8601" $expired_key {', '    default "";']
    whose = [(f"{name}(?:@[^ ]*)?", day) for name, day in clients.items()]
    lines += [
        f'    "~^{name} (?:{later_than(date.fromisoformat(day))})" expired/;' for name, day in [*whose, *keys.items()]
    ]
    return [*lines, "}"]


def later_than(day: date) -> str:
    """Regular expression for the start of every ISO time after ``day``."""
    text = day.isoformat()
    return "|".join(
        f"{text[:position]}[{int(digit) + 1}-9]"
        for position, digit in enumerate(text)
        if digit.isdigit() and digit != "9"
    )


def _check_key(key: str, whose: str) -> None:
    """Says what is wrong without repeating the key."""
    if not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS:
        raise ValueError(f"the key of {whose} has {len(key)} characters, wants {MIN_KEY_CHARS} to {MAX_KEY_CHARS}")
    if not _KEY.fullmatch(key):
        position = next(i for i, char in enumerate(key, 1) if not re.fullmatch("[A-Za-z0-9_-]", char))
        raise ValueError(f"the key of {whose}: character {position} is none of A-Z a-z 0-9 _ -")
