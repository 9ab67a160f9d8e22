"""One of several models of a stack: what is served under a name, and how."""

from __future__ import annotations

from pydantic import Field

from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

MODEL_DESCRIPTION = (
    "A name of planning/models/models.yaml, {repo, revision, context_limit, …} for another one, or the absolute path "
    "of a directory on this machine that holds one."
)


class ModelSettings(VllmSettings):
    """What `model`, `vllm` and `model_cache` say of a single model, together."""

    model: str | InlineModel = Field(description=MODEL_DESCRIPTION, examples=["smollm2-135m-instruct"])
    revision: str | None = Field(
        None,
        pattern=r"^[\w][\w./-]{0,99}$",
        description="Commit to download instead of the catalog's. A branch or tag needs the waiver unpinned-model.",
        examples=["main"],
    )
    local_path: str | None = Field(
        None,
        pattern=r"^/[^:,]+$",
        description="Directory on the host that holds the weights: looked at and mounted read-only, not downloaded.",
        examples=["/srv/models/my-model"],
    )

    @property
    def vllm(self) -> VllmSettings:
        """How it is served; what the stack file does not say stays unsaid."""
        said = self.model_fields_set & VllmSettings.model_fields.keys()
        return VllmSettings.model_validate({name: getattr(self, name) for name in said})
