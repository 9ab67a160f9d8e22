"""Uploaded files, kept as they came, and the names that they get.

<data>/originals/<document id>/<name>
"""

import shutil
from collections.abc import Container
from pathlib import Path

from pageindex.naming import sanitize_filename, truncate_filename

from ..base.files import sync_folder


class Originals:
    """The folder of uploaded files, one folder a document."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def find(self, document_id: str, name: str) -> Path | None:
        path = self._folder / document_id / name
        return path if path.is_file() else None

    def keep(self, incoming: Path, document_id: str, name: str) -> None:
        """Move an upload here; it is on disk when this returns."""
        folder = self._folder / document_id
        folder.mkdir(exist_ok=True)
        incoming.replace(folder / name)
        sync_folder(folder)
        sync_folder(self._folder)

    def drop(self, document_id: str) -> None:
        shutil.rmtree(self._folder / document_id, ignore_errors=True)

    def sweep(self, known: Container[str]) -> None:
        """Remove the files of documents that are not known."""
        for path in self._folder.iterdir():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def free_name(wanted: str, suffix: str, taken: Container[str]) -> str:
    """The wanted name without a path and odd characters, and numbered where it is taken."""
    base = sanitize_filename(wanted.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".") or "document")
    if not base.lower().endswith(suffix):
        base = truncate_filename(f"{base}{suffix}")
    name, number = base, 1
    while name in taken:
        number += 1
        name = truncate_filename(base, suffix=f" ({number})")
    return name
