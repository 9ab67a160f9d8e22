"""Applies mending lines to a stack file's content the way Pulumi's command line does."""

from __future__ import annotations

import copy
import itertools
import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

from planning.settings.errors import ConfigError

TYPED_BY_HAND = "a-token-typed-at-the-prompt"
KEY_FILE = "-----BEGIN PRIVATE KEY-----\nMIIB"
RANDOM = "5f" * 32


def apply(mend: str, settings: dict[str, Any], secrets: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content after the commands of ``mend``; AssertionError if one is not a command that Pulumi takes."""
    settings, secrets = copy.deepcopy(settings), copy.deepcopy(secrets)
    for command in mend.split(" && "):
        source, pipe, command = command.rpartition(" | ")
        assert source in {"", "openssl rand -hex 32", "pulumi stack output -s ocr api_key --show-secrets"}, source
        _run(shlex.split(command), RANDOM if pipe else None, settings, secrets)
    return settings, secrets


def apply_all(
    errors: Iterable[ConfigError], settings: dict[str, Any], secrets: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content after the lines of all ``errors``, each applied once."""
    for error in errors:
        settings, secrets = apply(error.mend, settings, secrets)
    return settings, secrets


def _run(words: list[str], piped: str | None, settings: dict[str, Any], secrets: dict[str, Any]) -> None:
    assert words[:2] == ["pulumi", "config"], words
    verb, rest = words[2], words[3:]
    options: dict[str, str | bool] = {}
    plain: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            plain += rest
            break
        if word in {"-s", "--type"}:
            options[word] = rest.pop(0)
        elif word in {"--path", "--secret"}:
            options[word] = True
        else:
            assert not word.startswith("-"), word
            plain.append(word)
    assert options.get("-s"), "the stack is named, so that the line works in any state"
    where = _parts(plain[0]) if options.get("--path") else [plain[0]]
    target = secrets if where[0] in {"api_keys", "hf_token", "ocr_key", "tls_key"} else settings
    if verb == "rm":
        assert len(plain) == 1, plain
        _remove(target, where)
        return
    assert verb == "set", verb
    by_hand = KEY_FILE if where == ["tls_key"] else TYPED_BY_HAND
    text = plain[1] if len(plain) > 1 else piped or by_hand
    assert (target is secrets) == bool(options.get("--secret")), "a secret is never set in clear"
    _put(target, where, _typed(text, str(options.get("--type", "")), inside=bool(options.get("--path"))))


def _typed(text: str, kind: str, *, inside: bool) -> Any:
    if kind:
        return {"float": float, "string": str, "int": int}[kind](text)
    if not inside:
        return text
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"[+-]?(0|[1-9]\d*)", text):
        return int(text)
    return text


def _parts(path: str) -> list[str | int]:
    steps = re.findall(r'\["([^"]+)"\]|\[(\d+)\]|([^.\[\]]+)', path)
    return [int(index) if index else quoted or name for quoted, index, name in steps]


def _put(target: Any, where: list[Any], value: Any) -> None:
    for part, following in itertools.pairwise(where):
        fresh: Any = [] if isinstance(following, int) else {}
        if isinstance(part, int):
            if part == len(target):
                target.append(fresh)
        elif not isinstance(target.get(part), dict | list):
            target[part] = fresh
        target = target[part]
    if isinstance(target, dict) and isinstance(target.get(where[-1]), str) and len(where) > 1:
        value = json.dumps(value) if isinstance(value, bool) else str(value)  # Pulumi keeps the type that is there
    if isinstance(where[-1], int) and where[-1] == len(target):
        target.append(value)
    else:
        target[where[-1]] = value


def _remove(target: Any, where: list[Any]) -> None:
    for part in where[:-1]:
        if not isinstance(target, dict | list) or (isinstance(target, dict) and part not in target):
            return  # Pulumi has nothing to say about it
        target = target[part]
    if isinstance(target, list) or where[-1] in target:
        del target[where[-1]]
