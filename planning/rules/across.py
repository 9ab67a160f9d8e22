"""Rules across settings: each looks at settings that are fine one by one, and says which do not go together."""

from __future__ import annotations

from collections.abc import Sequence

from planning.rules.app_models import app_model_errors, app_models
from planning.rules.cards import batching_errors, card_errors, format_errors, parallel_errors
from planning.rules.draft import Draft
from planning.rules.extra_flags import extra_flag_errors
from planning.rules.front import application_errors, gateway_errors, secret_errors, token_errors
from planning.rules.hosts import host_errors
from planning.rules.image import image_errors, version_errors, waiver_errors
from planning.rules.model import agent_errors, model_errors, task_errors, weights_errors
from planning.rules.rollouts import rollout_errors
from planning.rules.scans import scan_errors
from planning.rules.several import default_of, several_errors
from planning.settings.areas import StackSettings
from planning.settings.errors import ConfigError

OF_EACH_MODEL = (
    model_errors, parallel_errors, card_errors, batching_errors, format_errors, image_errors, version_errors,
    task_errors, weights_errors, token_errors, rollout_errors, extra_flag_errors,
)  # fmt: skip
OF_THE_STACK = (application_errors, gateway_errors, secret_errors)


def errors_across(given: StackSettings, drafts: Sequence[Draft]) -> list[ConfigError]:
    """Every error between areas, and between settings and secrets; `memory_fit` looks at memory.

    ``given`` is the file as it stands; each draft has it as if its model were alone.
    """
    default = default_of(given, drafts) or drafts[0]
    answering = app_models(given, drafts).answer
    return [
        *(draft.said_here(error) for draft in drafts for rule in OF_EACH_MODEL for error in rule(draft)),
        *(default.said_here(error) for rule in OF_THE_STACK for error in rule(default)),
        *(answering.said_here(error) for error in agent_errors(answering)),
        *app_model_errors(given, drafts),
        *waiver_errors(drafts),
        *several_errors(given, drafts),
        *host_errors(default.stack, given.host),
        *scan_errors(default.stack, given.pageindex.ocr, default.secrets),
    ]
