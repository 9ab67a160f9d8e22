"""Points in time as the API and the files on disk write them."""

from datetime import UTC, datetime


def timestamp() -> str:
    """Now, in UTC, to the millisecond: 2026-01-31T23:59:59.000Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
