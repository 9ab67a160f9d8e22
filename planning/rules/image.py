"""The image of vLLM against the device, and minimum versions with their waivers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def version_errors(draft: Draft) -> Iterator[ConfigError]:
    """Minimum versions, unless the stack file waives one by name."""
    if draft.image is None or "vllm" in draft.settings.waivers or not _is_below(draft.image):
        return
    version = vllm_version(draft.image)
    what = (
        "names no vLLM version that we know"
        if version is None
        else f"has vLLM {'.'.join(map(str, version))}, below {VLLM.text}: {VLLM.reason}"
    )
    waive = draft.set_line("waivers.vllm", "say here why this version is needed")
    yield ConfigError("vllm.image", f"{draft.image} {what}", waive, draft.settings.vllm.image)


def waiver_errors(drafts: Sequence[Draft]) -> Iterator[ConfigError]:
    """Waivers of what isn't broken."""
    first = drafts[0]
    images = [draft.image for draft in drafts]
    if "vllm" in first.settings.waivers and not any(image is None or _is_below(image) for image in images):
        reason = f"{' and '.join(dict.fromkeys(filter(None, images)))} is not below the minimum version"
        yield ConfigError("waivers.vllm", f"{reason}, so nothing needs a waiver", first.rm_line("waivers.vllm"))
    revisions = [draft.settings.model_cache.revision for draft in drafts if draft.model]
    floating = any(revision is not None and len(revision) != 40 for revision in revisions)
    if revisions and not floating and "unpinned-model" in first.settings.waivers:
        reason = "no branch or tag is downloaded, so nothing needs a waiver"
        yield ConfigError("waivers.unpinned-model", reason, first.rm_line("waivers.unpinned-model"))


def _is_below(image: str) -> bool:
    version = vllm_version(image)
    return version is None or version < VLLM.version
