"""Whether the stack fits its machine: the memory plan as an error of the stack file, with the ways out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from planning.hosts.minimum_versions import vllm_version
from planning.memory.budget import MemoryPlan, plan_memory
from planning.memory.cpu_budget import CPU_BLOCK_TOKENS, CpuPlan, plan_cpu
from planning.memory.model_sizes import GIB
from planning.memory.placement import BadPlacement, Replica, place
from planning.memory.suggestions import Situation, Suggestion, suggestions
from planning.memory.table import cpu_table, memory_table, suggestions_text, verdict
from planning.rules.draft import Draft
from planning.settings.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Replicas with their cards, and what each will have. Without the model's dimensions there is no memory plan."""

    replicas: tuple[Replica, ...]
    memory: MemoryPlan | None = None
    cpu: CpuPlan | None = None
    suggestions: tuple[Suggestion, ...] = ()


def fit(draft: Draft) -> tuple[Fit | None, list[ConfigError]]:
    """Place the replicas and plan their memory."""
    vllm, model = draft.settings.vllm, draft.model
    try:
        replicas = place(vllm, draft.card_count, draft.name)
    except BadPlacement as error:
        return None, [ConfigError("vllm.placement", str(error), draft.rm_line("vllm.placement"), str(vllm.placement))]
    if model is None or model.architecture is None:
        return Fit(replicas=replicas), []
    if vllm.device == "cpu":
        return _on_cpu(draft, replicas)
    if draft.card is None:
        return None, []
    plan = plan_memory(model, vllm, draft.card, vllm_version(draft.image or ""))
    if plan.fits:
        return Fit(replicas=replicas, memory=plan), []
    situation = Situation(
        set_line=draft.set_line,
        model=model,
        vllm=vllm,
        card=draft.card,
        card_count=draft.card_count,
        version=vllm_version(draft.image or ""),
    )
    found = suggestions(situation)
    text = "\n".join([f"{model.repo} {verdict(plan)}", memory_table(plan), suggestions_text(found)])
    if not plan.has_room:
        key, value = "vllm.gpu_memory_utilization", str(vllm.gpu_memory_utilization)
    elif plan.narrowest.kv <= 0:
        key, value = "model", str(draft.settings.model) if isinstance(draft.settings.model, str) else model.repo
    else:
        key, value = "vllm.max_model_len", str(vllm.max_model_len)
    mend = " && ".join(found[0].lines) if found else draft.set_line("model", "smollm2-135m-instruct")
    return Fit(replicas=replicas, memory=plan, suggestions=tuple(found)), [ConfigError(key, text, mend, value)]


def _on_cpu(draft: Draft, replicas: tuple[Replica, ...]) -> tuple[Fit | None, list[ConfigError]]:
    vllm, model = draft.settings.vllm, draft.model
    if model is None or model.architecture is None:
        return None, []
    plan = plan_cpu(model, vllm)
    found = []
    if plan.kv_tokens < vllm.max_model_len:
        needed = ceil((vllm.max_model_len + CPU_BLOCK_TOKENS) * plan.kv_bytes_per_token / GIB)
        found.append(
            ConfigError(
                "vllm.cpu_kv_cache_gib",
                f"KV cache would hold {plan.kv_tokens:,} tokens, less than one request of {vllm.max_model_len:,}",
                draft.set_line("vllm.cpu_kv_cache_gib", needed),
                str(vllm.cpu_kv_cache_gib),
            )
        )
    if plan.limit is not None and plan.needed > plan.limit:
        found.append(
            ConfigError(
                "vllm.memory_gib",
                f"{model.repo} needs {plan.needed:.1f} GiB\n{cpu_table(plan)}",
                draft.set_line("vllm.memory_gib", float(ceil(plan.needed))),
                str(plan.limit),
            )
        )
    return Fit(replicas=replicas, cpu=plan), found
