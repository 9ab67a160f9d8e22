"""What the container is for: an offline proof if the model is there, else a download."""

from __future__ import annotations

import time

from model_downloader.store import Manifest, Model
from model_downloader.verify import verify


def fetch(model: Model, endpoint: str, token: str | None, timeout_s: float) -> tuple[Manifest, str]:
    """Leave a complete, proven copy; say whether it was proven ``offline`` or ``downloaded`` now."""
    deadline = time.monotonic() + timeout_s
    if model.ready:
        with model.locked(deadline, exclusive=False):
            return verify(model), "offline"
    with model.locked(deadline, exclusive=True):
        if model.ready:  # made by the one who was waited for
            return verify(model), "offline"
        from model_downloader.download import download  # the Hub's client costs half a second that a proof needs not

        return download(model, endpoint, token, deadline, timeout_s), "downloaded"
