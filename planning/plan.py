"""From a stack file's raw content to the plan of a stack, or to the list of everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from planning.hosts.minimum_versions import Version, vllm_version
from planning.hosts.names import prefix_of, weights_directory
from planning.hosts.ssh import HostAddress, host_facts
from planning.memory.cards import Card
from planning.memory.placement import Replica
from planning.resolution import resolve
from planning.rules.across import errors_across
from planning.rules.answering import answer_mode
from planning.rules.memory_fit import Fit, fit
from planning.rules.modes import AnswerMode, RolloutMode
from planning.rules.rollouts import rollout_mode
from planning.settings.areas import StackSecrets, StackSettings, settings_fields
from planning.settings.errors import BadStackFile
from planning.settings.model import InlineModel
from planning.settings.namespaces import foreign_keys

# While one of these has an error, memory is not planned: its mending line would change the numbers.
MEMORY_INPUTS = (
    "model", "model_cache.local_path", "host.gpus", "vllm.image", "vllm.tensor_parallel_size",
    "vllm.pipeline_parallel_size", "vllm.replicas", "vllm.quantization", "vllm.dtype", "vllm.kv_cache_dtype",
    "vllm.max_num_batched_tokens", "vllm.max_model_len",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """Everything that is decided before anything is deployed. ``prefix`` starts every name on the host."""

    stack: str
    prefix: str
    settings: StackSettings
    secrets: StackSecrets
    model: InlineModel
    """With the revision that is downloaded, whoever named it."""
    vllm_image: str
    vllm_version: Version | None
    """As far as the image's name tells."""
    card: Card | None
    """What the cards are; None on the CPU."""
    fit: Fit
    unread_keys: tuple[str, ...] = ()
    """A warning for each key of the file that has no effect."""

    @property
    def docker_host(self) -> HostAddress:
        """What commands need to reach the daemon."""
        return host_facts(self.settings.host)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The vLLM servers and their cards."""
        return self.fit.replicas

    @property
    def rollout(self) -> RolloutMode:
        """How a replica in use is replaced."""
        return rollout_mode(self.settings.vllm, self.card)

    @property
    def answer(self) -> AnswerMode:
        """How the app answers, with `auto` resolved."""
        return answer_mode(self.settings.pageindex, self.model, self.settings.vllm)

    @property
    def local_path(self) -> str | None:
        """Directory on the host that holds the weights; None where they are downloaded."""
        named = self.settings.model if isinstance(self.settings.model, str) else ""
        return self.settings.model_cache.local_path or (named if named.startswith("/") else None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and still worth a word at every preview."""
        found = [f"waived {name}: {reason}" for name, reason in sorted(self.settings.waivers.items())]
        found += self.settings.gateway.expiry_warnings(datetime.now(UTC).date())
        if self.fit.memory and self.fit.memory.tight:
            found.append("the model fits its cards only just: within half a GiB, which is the memory planner's doubt")
        if not (self.fit.memory or self.fit.cpu):
            found.append(f"{self.model.repo} has no dimensions, so that nobody has planned its memory")
        return (*found, *self.unread_keys)

    @property
    def model_directory(self) -> str:
        """Where the model lies in the weights volume, relative to its root."""
        return weights_directory(self.model.repo, self.model.revision)

    @property
    def vllm_fingerprint(self) -> str:
        """Changes with every setting for which vLLM is replaced: its weights are verified anew before it loads them.

        Settings alone, not the rendered command: what a new version of this program renders is no new weights.
        """
        vllm = self.settings.vllm
        return json.dumps([vllm.replica_settings(), vllm.replicas, vllm.placement, self.vllm_image])


def plan_stack(
    stack: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    unencrypted: Collection[str] = (),
    keys: Collection[str] = (),
    encrypted: Collection[str] = (),
) -> StackPlan:
    """Plan a stack from the raw values of its file.

    ``unencrypted`` names keys of ``secrets`` that the file holds in clear, ``encrypted`` keys of ``settings`` with
    something encrypted in them; ``keys`` are all keys of the file, each with its namespace. Raises BadStackFile with
    all errors.
    """
    foreign = foreign_keys(keys, settings_fields(), stack)
    draft, errors = resolve(stack, settings, secrets, unencrypted, encrypted)
    errors += foreign.errors
    fitted = None
    if draft:
        errors += errors_across(draft)
        if not any(error.concerns(*MEMORY_INPUTS) for error in errors):
            fitted, misfits = fit(draft)
            errors += misfits
    if errors or not (draft and draft.secrets and draft.model and draft.image and fitted):
        raise BadStackFile(stack, errors)
    revision = draft.settings.model_cache.revision
    return StackPlan(
        stack=stack,
        prefix=prefix_of(stack),
        settings=draft.settings,
        secrets=draft.secrets,
        model=draft.model.model_copy(update={"revision": revision}) if revision else draft.model,
        vllm_image=draft.image,
        vllm_version=vllm_version(draft.image),
        card=draft.card,
        fit=fitted,
        unread_keys=foreign.warnings,
    )
