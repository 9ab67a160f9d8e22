"""What a written value can mean: a number in quotes, a number with its unit, a word with a typing error, a date.

Nothing here knows which field a value is for, beyond its name and type: whether a reading passes is for the models to
say. What can mean two things has no reading.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, get_args

Scalar = str | int | float | bool

TRUE_WORDS = {"true", "yes", "on", "y", "1", "enabled"}
FALSE_WORDS = {"false", "no", "off", "n", "0", "disabled"}
# Other people's words for the choices of a field.
SYNONYMS = {
    "bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "gpu": "cuda", "never": "no",
}  # fmt: skip
NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}(?:([ ,._'’])\d{3})(?:\1\d{3})*")
PERCENT = re.compile(r"(\d+(?:[.,]\d+)?) ?(?:%|percent)")
WITH_UNIT = re.compile(r"(\d+(?:[.,]\d+)?)[ _]?([a-zA-Z]+)")
SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}  # MB is read as MiB, as Docker reads it
VLLMS_UNITS = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}  # as vLLM's own command line reads --max-model-len
YEAR_FIRST = re.compile(r"(\d{4})([-./])(\d{1,2})\2(\d{1,2})")
DAY_FIRST = re.compile(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})")
ADDRESS = re.compile(r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\w[\w.-]*)(?::\d+)?(?P<path>/\S*)?")
PUBLIC_KEY = re.compile(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+={0,2}")
CLOSE = 0.6  # difflib's ratio, from which on two words are taken for the same one, mistyped
CLOSE_NAME = 0.75


def readings(given: Any, name: str, annotation: Any) -> Iterator[Scalar]:
    """Values that ``given`` can mean in the field ``name``, the likeliest first."""
    if isinstance(given, str):
        yield from _of_text(given.strip(), name, annotation)
    elif isinstance(given, bool):
        yield str(given).lower()
        yield from ("yes", "on") if given else ("no", "off")
    elif isinstance(given, list) and len(given) == 1:
        yield from readings(given[0], name, annotation)
        yield from (given[0],) if isinstance(given[0], Scalar) else ()
    elif isinstance(given, int | float):
        yield from (bool(given),) if given in (0, 1) else ()
        yield from _number(float(given), isinstance(given, int))
        yield str(given)
        yield from _dates(str(given))


def meant_name(name: str, known: Sequence[str], *, numbers_too: bool = False) -> str | None:
    """The known name that ``name`` is a mistyped form of; None if none is close.

    With ``numbers_too`` a name with other numbers in it is another thing: a model of another size, another card.
    """
    if numbers_too:
        known = [each for each in known if re.findall(r"\d+", each) == re.findall(r"\d+", name)]
    by_plain = {plain(each): each for each in known}
    if plain(name) in by_plain:
        return by_plain[plain(name)]
    close = difflib.get_close_matches(plain(name), by_plain, 1, CLOSE_NAME)
    return by_plain[close[0]] if close else None


def meant_entry(name: str, known: Sequence[str]) -> str | None:
    """The entry of a table that ``name`` means: mistyped, or with less or more around it, as in vendor/name."""
    last = name.strip().rstrip("/").rsplit("/", 1)[-1]
    word = re.compile(rf"(?<![a-z0-9]){re.escape(last)}(?![a-z0-9])", re.IGNORECASE)
    for matching in (
        [each for each in known if word.search(each)],
        [each for each in known if plain(last) in plain(each)],
    ):
        if plain(last) and len(matching) == 1:
            return matching[0]
    return meant_name(last, known, numbers_too=True)


def plain(name: str) -> str:
    """Without what people write differently: case, hyphens, underscores, blanks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _of_text(text: str, name: str, annotation: Any) -> Iterator[Scalar]:
    lowered = text.lower()
    if lowered in TRUE_WORDS | FALSE_WORDS:
        yield lowered in TRUE_WORDS
    yield from _numbers_in(text, name, integer=_is_integer(annotation))
    yield from _words(text, [choice for choice in choices(annotation) if isinstance(choice, str)])
    yield text  # without the blanks around it
    yield from _dates(text)
    yield from _addresses(text, name)
    yield from PUBLIC_KEY.findall(text)  # as ssh-keyscan prints it, or with its comment
    yield lowered


def _numbers_in(text: str, name: str, *, integer: bool) -> Iterator[int | float]:
    if grouped := GROUPED.fullmatch(text):
        several = text.count(grouped[1]) > 1
        if integer or several or grouped[1] not in ".,":
            yield int(re.sub(r"[ ,._'’]", "", text))
            return
        if grouped[1] == ",":  # 1,500 is 1500 to some and 1.5 to others
            return
    if NUMBER.fullmatch(text):
        yield from _number(float(text.replace(",", ".")), "." not in text and "," not in text)
    if share := PERCENT.fullmatch(text.lower()):
        yield float(share[1].replace(",", ".")) / 100
    if name.endswith("port") and (port := re.fullmatch(r"(?:[^:\s]*:)?(\d+)(?:/tcp)?", text)):
        yield int(port[1])
    yield from _with_units(text, name)


def _number(number: float, whole: bool) -> Iterator[int | float]:
    if number.is_integer():
        yield int(number)
    yield number
    if whole and 1 < number <= 100:
        yield number / 100  # a share that was written as a percentage


def _with_units(text: str, name: str) -> Iterator[int | float]:
    """A number with the unit that its field is in, or with one that can be converted."""
    pairs = WITH_UNIT.findall(text)
    if not pairs or WITH_UNIT.sub("", text).strip():
        return
    amounts = [(float(number.replace(",", ".")), unit) for number, unit in pairs]
    amount, unit = amounts[0]
    size = MIB.get(unit[0].lower()) if re.fullmatch(r"[kmgt](i?b)?", unit.lower()) else None
    total: float | None = None
    if name.endswith("_s"):
        if all(each.lower() in SECONDS for _, each in amounts):
            total = sum(number * SECONDS[each.lower()] for number, each in amounts)
    elif len(amounts) > 1:
        return
    elif name.endswith(("_mib", "_gib")):
        total = None if size is None else amount * size / (1024 if name.endswith("_gib") else 1)
    elif plain(unit).rstrip("s") in {part.rstrip("s") for part in name.split("_")}:
        total = amount  # 50 pages
    elif unit in VLLMS_UNITS:
        total = amount * VLLMS_UNITS[unit]
    if total is not None:
        yield from _number(total, whole=False)


def _words(text: str, known: list[str]) -> Iterator[str]:
    yield from (choice for choice in known if plain(choice) == plain(text))
    if SYNONYMS.get(text.lower()) in known:
        yield SYNONYMS[text.lower()]
    yield from difflib.get_close_matches(text.lower(), known, 1, CLOSE)


def _dates(text: str) -> Iterator[str]:
    """ISO's form of a date. Slashes with the day or month first are read only where one can't be a month."""
    found: tuple[str, str, str] | None = None
    if match := YEAR_FIRST.fullmatch(text) or re.fullmatch(r"(\d{4})()(\d\d)(\d\d)", text):
        found = (match[1], match[3], match[4])
    elif match := DAY_FIRST.fullmatch(text):
        first, second = match[1], match[3]
        if match[2] == "." or int(first) > 12:
            found = (match[4], second, first)
        elif int(second) > 12:
            found = (match[4], first, second)
    if found:
        try:
            yield date(*map(int, found)).isoformat()
        except ValueError:
            return


def _addresses(text: str, name: str) -> Iterator[str]:
    """An address with the scheme that it lacks, or without the parts that the field does not want."""
    if text.startswith("/"):
        yield f"unix://{text}"
        return
    if mistyped := re.fullmatch(r"(unix|ssh|https?)(?::/?|//)([^/].*)", text):
        scheme, rest = mistyped[1], mistyped[2]
        yield f"unix:///{rest}" if scheme == "unix" else f"{scheme}://{rest}"
    if "://" not in text:
        yield f"ssh://{text}"
        yield from (f"{scheme}://{text}" for scheme in (("http", "https") if ":" in text else ("https", "http")))
        if name.isdigit():  # an element of a list of paths
            yield f"/{text}"
        if "/" not in text:
            yield f"~/.ssh/{text}"
    if found := ADDRESS.fullmatch(text):
        yield found["host"]
        if found["scheme"] and found["path"]:
            yield from (found["path"], found["path"].strip("/"))


def choices(annotation: Any) -> Iterator[Any]:
    """Every literal value that an annotation names, inside unions too."""
    for argument in get_args(annotation):
        if isinstance(argument, str | int | float):
            yield argument
        else:
            yield from choices(argument)


def _types(annotation: Any) -> set[Any]:
    inner = [kind for argument in get_args(annotation) for kind in _types(argument)]
    return {annotation} if isinstance(annotation, type) and not inner else set(inner)


def _is_integer(annotation: Any) -> bool:
    kinds = _types(annotation)
    return int in kinds and float not in kinds


def is_text(annotation: Any) -> bool:
    """Whether a field may hold any text, and so a secret that was put into the wrong place."""
    return annotation is None or bool(_types(annotation) & {str, object})
