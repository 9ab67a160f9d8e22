"""Logs as one JSON object a line: no text of documents or questions, no keys."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
# Messages of libraries may quote what they worked on, so only their first words are kept.
_FOREIGN_CHARS = 200


class JsonFormatter(logging.Formatter):
    """Fields given as ``extra`` become keys of the object."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        ours = record.name.startswith("pageindex_app")
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message if ours else message[:_FOREIGN_CHARS],
        }
        if request := request_id.get():
            entry["request_id"] = request
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[1]:
            # Where it happened and of what kind; the exception's own text may quote a document.
            entry["error"] = type(record.exc_info[1]).__name__
            entry["at"] = _frames(record.exc_info[2])
        return json.dumps(entry, ensure_ascii=False, default=str)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = []
    while trace:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-6:]


def configure_logging() -> None:
    """Send every logger of this process to stdout as JSON; libraries speak up only from warnings on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pageindex_app").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
