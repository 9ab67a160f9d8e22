"""The few lines between Pulumi's configuration and planning: raw values in, a plan or all faults out."""

from __future__ import annotations

import json
import os
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from planning.plan import StackPlan, plan_stack
from planning.settings.areas import StackSecrets
from planning.settings.errors import BadStackFile
from planning.stack_files import PREFIX, own_settings


def load_plan() -> StackPlan:
    """Plan the current stack and show its warnings.

    Raises RunError with every fault of its file, before any resource is registered.
    """
    said = {key: _parsed(value) for key, value in CONFIG.get().items()}
    given = own_settings(said)
    # Pulumi.yaml declares every key of ours with an empty default, which the file then does not have.
    keys = [key for key in said if not key.startswith(PREFIX) or key.removeprefix(PREFIX) in given]
    encrypted = {key for key in given if is_config_secret(f"{PREFIX}{key}")}
    secrets = {key: given.pop(key) for key in StackSecrets.model_fields if key in given}
    try:
        plan = plan_stack(pulumi.get_stack(), given, secrets, secrets.keys() - encrypted, keys, encrypted)
    except BadStackFile as faults:
        raise pulumi.RunError(str(faults)) from None
    for warning in plan.warnings:
        pulumi.log.warn(warning)
    return plan


def hub_endpoint(plan: StackPlan) -> str | None:
    """The stack's mirror, else the one that HF_ENDPOINT names, as every Hugging Face tool reads it."""
    return plan.settings.model_cache.endpoint or os.environ.get("HF_ENDPOINT") or None


def _parsed(value: Any) -> Any:
    """Objects and lists arrive as JSON text, everything else as it was typed; that may begin like JSON, too."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
