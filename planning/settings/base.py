"""What all settings share: strict pydantic models. They refuse unknown keys, and their errors do not show values."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]

IMAGE_REFERENCE = re.compile(
    r"^[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?:[\w][\w.-]*(@sha256:[0-9a-f]{64})?$"
    r"|^[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}$"
)


def require_pinned_image(reference: str) -> str:
    """Return the image reference if it is pinned by tag or digest; ValueError says how to pin it."""
    if not IMAGE_REFERENCE.match(reference):
        raise ValueError("must be pinned by tag or digest, for example vllm/vllm-openai:v0.32.0")
    if reference.split("@")[0].endswith(":latest") and "@" not in reference:
        raise ValueError("`latest` moves under your feet; name a version")
    return reference


class SettingsBase(BaseModel):
    """Common to all areas: an unknown key is an error, and errors do not show the value, which may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True, allow_inf_nan=False)
