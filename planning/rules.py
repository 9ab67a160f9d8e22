"""Rules across settings: each looks at settings that are fine one by one, and says which of them don't go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from planning.answering import hindrance
from planning.extras import problems_of_extras
from planning.floors import VLLM, vllm_version
from planning.gateway_keys import clients_of
from planning.gateway_settings import TlsFiles, is_pem
from planning.hardware import Card
from planning.model import InlineModel
from planning.ocr import problems_of_ocr
from planning.problems import Problem, rm_line, set_secret_line, set_value_line
from planning.rollouts import problems_of_rollout
from planning.settings import StackSecrets, StackSettings
from planning.ssh import problems_of_host

CALLS_A_QUESTION = 3  # to the model, at most: choose sections, read, read the best passage again
METHOD_OF = {"awq_marlin": "awq", "gptq_marlin": "gptq"}  # vLLM's names for faster kernels of the same format


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A stack file whose settings are fine one by one. What could not be looked up is None, and has its own fault."""

    stack: str
    settings: StackSettings
    secrets: StackSecrets | None
    model: InlineModel | None
    image: str | None
    card: Card | None

    def set_line(self, path: str, value: str | int | float | bool) -> str:
        return set_value_line(path.split("."), value, self.stack)

    def rm_line(self, path: str) -> str:
        return rm_line(path.split("."), self.stack)

    @property
    def card_count(self) -> int:
        gpus = self.settings.host.gpus
        return gpus.count if gpus else 0


def across(draft: Draft) -> list[Problem]:
    """Every fault between areas, and between settings and secrets; memory has its own module."""
    rules = (_model, _parallel, _cards, _batching, _formats, _image, _waivers, _weights, _application, _gateway,
             _secrets)  # fmt: skip
    found = [problem for rule in rules for problem in rule(draft)]
    found += problems_of_host(draft.stack, draft.settings.host)
    found += problems_of_ocr(draft.stack, draft.settings.pageindex.ocr, draft.secrets)
    found += problems_of_rollout(draft.stack, draft.settings.vllm, draft.card)
    return found + problems_of_extras(draft.stack, draft.settings.vllm)


def _model(draft: Draft) -> Iterator[Problem]:
    model, vllm = draft.model, draft.settings.vllm
    if model is None:
        return
    if vllm.max_model_len > model.context_limit:
        yield Problem(
            "vllm.max_model_len",
            f"{model.repo} was made for at most {model.context_limit} tokens",
            draft.set_line("vllm.max_model_len", model.context_limit),
            str(vllm.max_model_len),
        )
    if draft.settings.pageindex.answer == "agent" and (reason := hindrance(model, vllm)):
        yield Problem(
            "pageindex.answer",
            reason,
            draft.set_line("pageindex.answer", "two-step"),
            "agent",
        )
    if vllm.images_per_prompt is not None and not model.multimodal:
        yield Problem(
            "vllm.images_per_prompt",
            f"{model.repo} reads no images",
            draft.rm_line("vllm.images_per_prompt"),
            str(vllm.images_per_prompt),
        )


def _parallel(draft: Draft) -> Iterator[Problem]:
    """A layer can only be split where the parts come out even."""
    vllm, shape = draft.settings.vllm, draft.model.architecture if draft.model else None
    if vllm.device == "cpu":
        for name in ("tensor_parallel_size", "pipeline_parallel_size"):
            if getattr(vllm, name) > 1:
                reason = "device cpu has no cards to share a layer; replicas work"
                yield Problem(f"vllm.{name}", reason, draft.set_line(f"vllm.{name}", 1), str(getattr(vllm, name)))
        return
    if shape is None or draft.model is None:
        return
    odd = uneven(draft.model, vllm.tensor_parallel_size)
    if odd:
        others = vllm.pipeline_parallel_size * vllm.replicas
        most = min(vllm.tensor_parallel_size - 1, max(1, draft.card_count // others))
        fitting = max(size for size in range(1, most + 1) if not uneven(draft.model, size))
        yield Problem(
            "vllm.tensor_parallel_size",
            odd,
            draft.set_line("vllm.tensor_parallel_size", fitting),
            str(vllm.tensor_parallel_size),
        )
    if vllm.pipeline_parallel_size > shape.layers:
        yield Problem(
            "vllm.pipeline_parallel_size",
            f"{draft.model.repo} has {shape.layers} layers",
            draft.set_line("vllm.pipeline_parallel_size", 1),
            str(vllm.pipeline_parallel_size),
        )


def uneven(model: InlineModel, parts: int) -> str | None:
    """Why the model's layers can't be split over ``parts`` cards, or None."""
    shape, quantization = model.architecture, model.quantization
    if shape is None or parts == 1:
        return None
    for name, count in (("attention heads", shape.heads), ("words in its vocabulary", shape.vocab_size)):
        if count % parts:
            return f"{model.repo} has {count} {name}, which {parts} does not divide"
    if shape.kv_heads % parts and parts % shape.kv_heads:
        return f"{model.repo} has {shape.kv_heads} KV heads, which neither divide {parts} nor are divided by it"
    width = shape.expert_size if shape.experts else shape.intermediate_size
    if quantization and quantization.group_size and width % (parts * quantization.group_size):
        return (
            f"{model.repo} is quantized in groups of {quantization.group_size}, and a part of {width} / {parts} "
            "does not hold whole groups"
        )
    return None


def _cards(draft: Draft) -> Iterator[Problem]:
    vllm = draft.settings.vllm
    if vllm.device == "cpu" or draft.card is None:
        return
    each, count = vllm.cards_per_replica, draft.card_count
    if each * vllm.replicas <= count or (draft.model and uneven(draft.model, vllm.tensor_parallel_size)):
        return
    reason = (
        f"{vllm.replicas} replicas × {vllm.tensor_parallel_size} (tensor) × {vllm.pipeline_parallel_size} (pipeline) "
        f"cards, but host.gpus.count is {count}"
    )
    if count >= each:
        mend = draft.set_line("vllm.replicas", count // each)
        yield Problem("vllm.replicas", reason, mend, str(vllm.replicas))
        return
    tensor = vllm.pipeline_parallel_size <= count
    name = "tensor_parallel_size" if tensor else "pipeline_parallel_size"
    most = max(1, count // vllm.tensor_parallel_size)
    if tensor and draft.model:
        sizes = range(1, count // vllm.pipeline_parallel_size + 1)
        most = max(size for size in sizes if not uneven(draft.model, size))
    yield Problem(f"vllm.{name}", reason, draft.set_line(f"vllm.{name}", most), str(getattr(vllm, name)))


def _batching(draft: Draft) -> Iterator[Problem]:
    vllm = draft.settings.vllm
    if vllm.max_num_batched_tokens is not None and vllm.max_num_batched_tokens < vllm.max_num_seqs:
        yield Problem(
            "vllm.max_num_batched_tokens",
            f"less than vllm.max_num_seqs ({vllm.max_num_seqs}): a step must hold a token of each sequence",
            draft.set_line("vllm.max_num_batched_tokens", max(2048, vllm.max_num_seqs)),
            str(vllm.max_num_batched_tokens),
        )
    if vllm.memory_gib is not None and vllm.shm_gib >= vllm.memory_gib:
        yield Problem(
            "vllm.shm_gib",
            f"shared memory counts towards vllm.memory_gib ({vllm.memory_gib})",
            draft.set_line("vllm.shm_gib", 1.0 if vllm.memory_gib > 1 else 0.5),
            str(vllm.shm_gib),
        )


def _formats(draft: Draft) -> Iterator[Problem]:
    """Number formats that the card or the weights do not have."""
    vllm, model, card = draft.settings.vllm, draft.model, draft.card
    if vllm.kv_cache_dtype.startswith("fp8") and (vllm.device == "cpu" or (card and not card.fp8_kv)):
        where = "device cpu" if vllm.device == "cpu" or not card else f"{card.name} (compute capability below 8.9)"
        yield Problem(
            "vllm.kv_cache_dtype",
            f"{where} has no kernels for fp8 KV cache",
            draft.set_line("vllm.kv_cache_dtype", "auto"),
            vllm.kv_cache_dtype,
        )
    if vllm.device == "cpu" and vllm.cpu_offload_gib:
        yield Problem(
            "vllm.cpu_offload_gib",
            "on device cpu all weights are in host memory",
            draft.rm_line("vllm.cpu_offload_gib"),
            str(vllm.cpu_offload_gib),
        )
    if model is None:
        return
    asked = METHOD_OF.get(vllm.quantization or "", vllm.quantization)
    there = model.quantization.method if model.quantization else None
    if asked and asked != there and not (asked == "fp8" and there is None):
        yield Problem(
            "vllm.quantization",
            f"the weights of {model.repo} are {there or 'not quantized'}; without this setting vLLM reads that itself",
            draft.rm_line("vllm.quantization"),
            vllm.quantization,
        )
    if vllm.dtype == "float32" and there:
        yield Problem(
            "vllm.dtype",
            f"kernels for {there} weights compute in 16 bits",
            draft.set_line("vllm.dtype", "auto"),
            "float32",
        )


def _image(draft: Draft) -> Iterator[Problem]:
    vllm, image = draft.settings.vllm, draft.image
    if image is None:
        return
    for_cpu = "-cpu" in image.split("/")[-1]
    if for_cpu != (vllm.device == "cpu") and ("vllm-openai" in image or for_cpu):
        yield Problem(
            "vllm.image",
            f"{image} is for device {'cpu' if for_cpu else 'cuda'}, but vllm.device is {vllm.device}",
            draft.set_line("vllm.image", f"vllm-{vllm.device}"),
            vllm.image,
        )
    own_entrypoint = "nvcr.io/nvidia/" in image
    if own_entrypoint and not vllm.serve_command:
        first, second = (draft.set_line(f"vllm.serve_command.{at}", word) for at, word in enumerate(("vllm", "serve")))
        yield Problem(
            "vllm.serve_command",
            f"the entrypoint of {image} does not start vLLM, and must stay: it picks CUDA's compatibility libraries",
            f"{first} && {second}",
        )
    if "vllm/vllm-openai" in image and vllm.serve_command:
        yield Problem(
            "vllm.serve_command",
            f"the entrypoint of {image} is already `vllm serve`",
            draft.rm_line("vllm.serve_command"),
            " ".join(vllm.serve_command),
        )


def _waivers(draft: Draft) -> Iterator[Problem]:
    """Floors, unless the stack file waives one by name; and waivers of what isn't broken."""
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
            yield Problem("vllm.image", f"{draft.image} {what}", waive, draft.settings.vllm.image)
        if not below and "vllm" in waivers:
            reason = f"{draft.image} is not below the floor, so nothing needs a waiver"
            yield Problem("waivers.vllm", reason, draft.rm_line("waivers.vllm"))
    if draft.model:
        revision = draft.settings.model_cache.revision
        floating = revision is not None and len(revision) != 40
        if not floating and "unpinned-model" in waivers:
            reason = "no branch or tag is downloaded, so nothing needs a waiver"
            yield Problem("waivers.unpinned-model", reason, draft.rm_line("waivers.unpinned-model"))


def _weights(draft: Draft) -> Iterator[Problem]:
    """Weights must not change under a stack: a commit, or a directory on the host, or a waiver."""
    cache, model, waivers = draft.settings.model_cache, draft.model, draft.settings.waivers
    local = cache.local_path or (isinstance(draft.settings.model, str) and draft.settings.model.startswith("/"))
    if local and cache.revision:
        yield Problem(
            "model_cache.revision",
            "weights in a directory of the host have no revision: nothing is downloaded",
            draft.rm_line("model_cache.revision"),
            cache.revision,
        )
        return
    if local and not cache.keep_previous:
        yield Problem(
            "model_cache.keep_previous",
            "weights in a directory of the host are its own: nothing there is ever removed",
            draft.rm_line("model_cache.keep_previous"),
            "false",
        )
    if local or model is None:
        return
    waive = draft.set_line("waivers.unpinned-model", "say here why a moving name will do")
    if cache.revision is None and not model.pinned:
        yield Problem(
            "model_cache.revision",
            f"no public source names a commit of {model.repo}, so the catalog can't pin it: give one from "
            f"https://huggingface.co/{model.repo}/commits/main, or a branch and a waiver",
            f"{draft.set_line('model_cache.revision', 'main')} && {waive}"
            if "unpinned-model" not in waivers
            else draft.set_line("model_cache.revision", "main"),
        )
    if cache.revision is not None and len(cache.revision) != 40 and "unpinned-model" not in waivers:
        yield Problem(
            "model_cache.revision",
            "a branch or tag can move, so that another host gets other weights; a commit can't",
            waive,
            cache.revision,
        )


def _application(draft: Draft) -> Iterator[Problem]:
    upload_mib, body_mib = draft.settings.pageindex.max_upload_mib, draft.settings.gateway.max_body_mib
    if upload_mib > body_mib:
        yield Problem(
            "pageindex.max_upload_mib",
            f"larger than what the gateway lets through, gateway.max_body_mib ({body_mib})",
            draft.set_line("pageindex.max_upload_mib", body_mib),
            str(upload_mib),
        )
    model_s, silence_s = draft.settings.pageindex.model_timeout_s, draft.settings.gateway.timeout_s
    if CALLS_A_QUESTION * model_s > silence_s:
        yield Problem(
            "pageindex.model_timeout_s",
            f"a question makes up to {CALLS_A_QUESTION} calls, and the gateway waits {silence_s} s for its answer "
            "(gateway.timeout_s)",
            draft.set_line("gateway.timeout_s", CALLS_A_QUESTION * model_s),
            str(model_s),
        )


def _secrets(draft: Draft) -> Iterator[Problem]:
    if draft.secrets is None:
        return
    if draft.model and draft.model.gated and not draft.secrets.hf_token:
        yield Problem(
            "hf_token",
            f"{draft.model.repo} is gated on the hub and needs a token",
            set_secret_line(["hf_token"], draft.stack),
        )
    gateway, names = draft.settings.gateway, list(draft.secrets.api_keys)
    for client in sorted(set(gateway.clients) - set(clients_of(names))):
        yield Problem(
            f"api_keys.{client}",
            f"gateway.clients names {client}, but there is no key for it",
            set_secret_line(["api_keys", client], draft.stack),
        )
    for name in sorted(set(gateway.key_expires) - set(names)):
        yield Problem(
            f"gateway.key_expires.{name}",
            "there is no key of this name under api_keys",
            rm_line(["gateway", "key_expires", name], draft.stack),
        )
    if isinstance(gateway.tls, TlsFiles) and not gateway.tls.key and not draft.secrets.tls_key:
        yield Problem(
            "tls_key",
            "gateway.tls names a certificate, but there is no key for it",
            set_secret_line(["tls_key"], draft.stack),
        )


def _gateway(draft: Draft) -> Iterator[Problem]:
    gateway = draft.settings.gateway
    if not IPv4Address(gateway.bind).is_loopback and gateway.tls is None:
        yield Problem(
            "gateway.tls",
            f"on {gateway.bind} keys and documents would cross the network in clear; turn it on, or say `off` outright",
            set_value_line(["gateway", "tls"], "self-signed", draft.stack),
        )
    for field in ("certificate", "key") if isinstance(gateway.tls, TlsFiles) else ():
        path = getattr(gateway.tls, field)
        if path and not is_pem(path):
            yield Problem(
                f"gateway.tls.{field}",
                "must be a file in PEM format that can be read",
                set_value_line(["gateway", "tls"], "self-signed", draft.stack),
                path,
            )
    if gateway.bind == "0.0.0.0" and not gateway.server_names:
        yield Problem(
            "gateway.server_names",
            "on all addresses the gateway has to know by which names clients call it",
            set_value_line(["gateway", "server_names", "0"], "ai.example.com", draft.stack),
        )
