"""What a request to the hub asks for: ranges and switches, and the answer where it asks for something else."""

from __future__ import annotations

import re


class Answer(Exception):
    """An answer other than the one asked for."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | (headers or {})


def is_true(query: dict[str, list[str]], key: str) -> bool:
    return query.get(key, [""])[0].lower() in ("true", "1")


def byte_range(header: str | None, size: int) -> tuple[int, int]:
    """Start and end (exclusive) of the one range asked for; 416 if it lies outside."""
    if header is None:
        return 0, size
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not found or not (found[1] or found[2]):
        raise Answer(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
    if not found[1]:
        return max(0, size - int(found[2])), size
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    if start >= size or end <= start:
        raise Answer(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return start, min(end, size)
