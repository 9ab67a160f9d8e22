"""Rules across settings: each looks at settings that are fine one by one, and says which do not go together."""

from __future__ import annotations

from planning.rules.cards import batching_errors, card_errors, format_errors, parallel_errors
from planning.rules.draft import Draft
from planning.rules.extra_flags import extra_flag_errors
from planning.rules.front import application_errors, gateway_errors, secret_errors
from planning.rules.hosts import host_errors
from planning.rules.image import image_errors, waiver_errors
from planning.rules.model import model_errors, weights_errors
from planning.rules.rollouts import rollout_errors
from planning.rules.scans import scan_errors
from planning.settings.errors import ConfigError

RULES = (
    model_errors, parallel_errors, card_errors, batching_errors, format_errors, image_errors, waiver_errors,
    weights_errors, application_errors, gateway_errors, secret_errors,
)  # fmt: skip


def errors_across(draft: Draft) -> list[ConfigError]:
    """Every error between areas, and between settings and secrets; `memory_fit` looks at memory."""
    stack, settings = draft.stack, draft.settings
    return [
        *(error for rule in RULES for error in rule(draft)),
        *host_errors(stack, settings.host),
        *scan_errors(stack, settings.pageindex.ocr, draft.secrets),
        *rollout_errors(stack, settings.vllm, draft.card),
        *extra_flag_errors(stack, settings.vllm),
    ]
