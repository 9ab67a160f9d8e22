"""The image of vLLM against the device, and minimum versions with their waivers."""

from __future__ import annotations

from collections.abc import Iterator

from planning.hosts.minimum_versions import VLLM, vllm_version
from planning.rules.draft import Draft
from planning.settings.errors import ConfigError


def image_errors(draft: Draft) -> Iterator[ConfigError]:
    vllm, image = draft.settings.vllm, draft.image
    if image is None:
        return
    for_cpu = "-cpu" in image.split("/")[-1]
    if for_cpu != (vllm.device == "cpu") and ("vllm-openai" in image or for_cpu):
        yield ConfigError(
            "vllm.image",
            f"{image} is for device {'cpu' if for_cpu else 'cuda'}, but vllm.device is {vllm.device}",
            draft.set_line("vllm.image", f"vllm-{vllm.device}"),
            vllm.image,
        )
    own_entrypoint = "nvcr.io/nvidia/" in image
    if own_entrypoint and not vllm.serve_command:
        first, second = (draft.set_line(f"vllm.serve_command.{at}", word) for at, word in enumerate(("vllm", "serve")))
        yield ConfigError(
            "vllm.serve_command",
            f"the entrypoint of {image} does not start vLLM, and must stay: it picks CUDA's compatibility libraries",
            f"{first} && {second}",
        )
    if "vllm/vllm-openai" in image and vllm.serve_command:
        yield ConfigError(
            "vllm.serve_command",
            f"the entrypoint of {image} is already `vllm serve`",
            draft.rm_line("vllm.serve_command"),
            " ".join(vllm.serve_command),
        )


def waiver_errors(draft: Draft) -> Iterator[ConfigError]:
    """Minimum versions, unless the stack file waives one by name; and waivers of what isn't broken."""
    waivers = draft.settings.waivers
    if draft.image:
        version = vllm_version(draft.image)
        below = version is None or version < VLLM.version
        if below and "vllm" not in waivers:
            what = (
                "names no vLLM version that we know"
                if version is None
                else f"has vLLM {'.'.join(map(str, version))}, below {VLLM.text}: {VLLM.reason}"
            )
            waive = draft.set_line("waivers.vllm", "say here why this version is needed")
            yield ConfigError("vllm.image", f"{draft.image} {what}", waive, draft.settings.vllm.image)
        if not below and "vllm" in waivers:
            reason = f"{draft.image} is not below the minimum version, so nothing needs a waiver"
            yield ConfigError("waivers.vllm", reason, draft.rm_line("waivers.vllm"))
    if draft.model:
        revision = draft.settings.model_cache.revision
        floating = revision is not None and len(revision) != 40
        if not floating and "unpinned-model" in waivers:
            reason = "no branch or tag is downloaded, so nothing needs a waiver"
            yield ConfigError("waivers.unpinned-model", reason, draft.rm_line("waivers.unpinned-model"))
