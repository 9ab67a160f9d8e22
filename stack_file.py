"""The few lines between Pulumi's configuration and planning: raw values in, a plan or all faults out."""

from __future__ import annotations

import json
import os
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from planning.plan import StackPlan, plan_stack
from planning.settings.areas import StackSecrets
from planning.settings.errors import NAMESPACE, BadStackFile


def load_plan() -> StackPlan:
    """Plan the current stack and show its warnings.

    Raises RunError with every fault of its file, before any resource is registered.
    """
    prefix = f"{NAMESPACE}:"
    # Pulumi.yaml declares every key with an empty default, so that the engine does not stop at the first missing one.
    said = {key: value for key, text in CONFIG.get().items() if (value := _parsed(text)) not in ("", {})}
    given = {key.removeprefix(prefix): value for key, value in said.items() if key.startswith(prefix)}
    secrets = {key: given.pop(key) for key in StackSecrets.model_fields if key in given}
    unencrypted = [key for key in secrets if not is_config_secret(f"{prefix}{key}")]
    try:
        plan = plan_stack(pulumi.get_stack(), given, secrets, unencrypted, list(said))
    except BadStackFile as faults:
        raise pulumi.RunError(str(faults)) from None
    for warning in plan.warnings:
        pulumi.log.warn(warning)
    return plan


def hub_endpoint(plan: StackPlan) -> str | None:
    """The stack's mirror, else the one that HF_ENDPOINT names, as every Hugging Face tool reads it."""
    return plan.settings.model_cache.endpoint or os.environ.get("HF_ENDPOINT") or None


def _parsed(value: Any) -> Any:
    """Objects and lists arrive as JSON text, everything else as it was typed."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return value
