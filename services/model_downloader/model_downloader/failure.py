"""How the downloader ends when it can't do its work: a sentence, the command that mends it, an exit code."""

from __future__ import annotations

BAD_ARGUMENTS = 2
CHANGED_FILE = 3
HUB_REFUSED = 4
NO_SPACE = 5


class Failure(Exception):
    """Ends the run with ``code``; ``mend`` is what the reader can do about it."""

    def __init__(self, code: int, what: str, mend: str = ""):
        super().__init__(what)
        self.code = code
        self.what = what
        self.mend = mend

    def report(self) -> str:
        return f"error: {self.what}" + (f"\nmend:  {self.mend}" if self.mend else "")
