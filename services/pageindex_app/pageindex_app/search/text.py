"""Words, sentences and quotes, and how they are found again in a page's text."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import snowballstemmer  # type: ignore[import-untyped]

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+\d*", re.UNICODE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9ÄÖÜÉ])")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Za-z]\.(?:[A-Za-z]\.)*|(?:No|Dr|Mr|Mrs|Ms|St|vs|cf|approx|Fig|Art)\.)$")
_ONE_KIND = str.maketrans({"‐": "-", "‑": "-", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"'})
_CUT_WORD = re.compile(r"\u00ad\s*|(?<=[^\W\d_])-\s+(?=[^\W\d_])")  # a soft hyphen may also stand within a line
_STEMMER = snowballstemmer.stemmer("english")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
_STEMS: dict[str, str] = {}
_STEMS_MAX = 200_000  # a few MiB; far more words than a language has

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both but by can could
    did do does doing down during each for from further had has have having he her here hers him his how i if in
    into is it its itself just may me might more most must my no nor not now of off on once only or other our out
    over own same shall she should so some such than that the their them then there these they this those through
    to too under until up upon was we were what when where which while who whom whose why will with would yes you
    your many much long often far""".split()  # noqa: SIM905 (a list of 150 literals is no easier to read)
)


def stem(word: str) -> str:
    """The word's stem; numbers lose their thousands separators, so that 1204 finds 1,204."""
    known = _STEMS.get(word)
    if known is None:
        known = _THOUSANDS.sub("", word) if word[0].isdigit() else str(_STEMMER.stemWord(word))
        if len(_STEMS) < _STEMS_MAX:
            _STEMS[word] = known
    return known


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return [stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


def squeeze(text: str) -> str:
    """White space as single blanks."""
    return " ".join(text.split())


def comparable(text: str) -> str:
    """The form in which quotes are compared: one kind of blank, quotation mark and dash, words cut at
    the end of a line made whole again, ligatures taken apart."""
    text = unicodedata.normalize("NFKC", text).translate(_ONE_KIND)
    return squeeze(_CUT_WORD.sub("", text))


def occurs(quote: str, page_text: str) -> bool:
    """Whether the quoted words stand on the page, however its lines are broken."""
    wanted = comparable(quote)
    return bool(wanted) and wanted in comparable(page_text)


def sentences(text: str) -> Iterator[str]:
    """Sentences of running text; each is a piece of ``squeeze(text)``."""
    pending = ""
    for part in _SENTENCE_END.split(squeeze(text)):
        pending = f"{pending} {part}" if pending else part
        if not _ABBREVIATION.search(pending[-12:]):
            yield pending
            pending = ""
    if pending:
        yield pending


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a page under one heading."""

    heading: str | None
    text: str


def _key(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def blocks(page_text: str, headings: Iterable[str]) -> list[Block]:
    """Cut a page at those of ``headings`` that stand on it as lines of their own, in order."""
    wanted = {_key(heading): heading for heading in headings if heading.strip()}
    out: list[Block] = []
    heading: str | None = None
    lines: list[str] = []
    for line in page_text.splitlines():
        found = wanted.get(_key(line)) if line.strip() else None
        if found is None:
            lines.append(line)
            continue
        if any(part.strip() for part in lines) or heading is not None:
            out.append(Block(heading, "\n".join(lines).strip()))
        heading, lines = found, []
    if any(part.strip() for part in lines) or heading is not None:
        out.append(Block(heading, "\n".join(lines).strip()))
    return out
