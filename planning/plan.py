"""From a stack file's raw content to the plan of a stack, or to the list of everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from planning.hosts.minimum_versions import Version, vllm_version
from planning.hosts.names import STABLE_ALIAS, prefix_of, weights_directory
from planning.hosts.ssh import HostAddress, host_facts
from planning.memory.cards import Card
from planning.memory.placement import Replica
from planning.resolution import resolve
from planning.rules.across import errors_across
from planning.rules.answering import answer_mode, hindrance
from planning.rules.app_models import AppModels, app_models
from planning.rules.draft import Draft
from planning.rules.memory_fit import Fit, fit
from planning.rules.modes import AnswerMode, RolloutMode
from planning.rules.rollouts import rollout_mode
from planning.rules.several import default_of, served_names
from planning.rules.sharing import on_their_cards
from planning.services.app import AskedModel, AskedModels
from planning.settings.areas import StackSecrets, StackSettings, settings_fields
from planning.settings.errors import BadStackFile
from planning.settings.model import InlineModel
from planning.settings.namespaces import foreign_keys
from planning.settings.vllm import VllmSettings

# While one of these has an error, memory is not planned: its mending line would change the numbers.
MEMORY_INPUTS = (
    "model", "model_cache.local_path", "host.gpus", "vllm.image", "vllm.tensor_parallel_size",
    "vllm.pipeline_parallel_size", "vllm.replicas", "vllm.quantization", "vllm.dtype", "vllm.kv_cache_dtype",
    "vllm.max_num_batched_tokens", "vllm.max_model_len",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model of a stack. ``name`` is its own among several, and empty where it is the only one."""

    name: str
    names: tuple[str, ...]
    """Every name that a request may call it by."""
    settings: VllmSettings
    """With cards and share of a card, where it has them from the plan."""
    model: InlineModel
    """With the revision that is downloaded, whoever named it."""
    image: str
    version: Version | None
    """vLLM's, as far as the image's name tells."""
    card: Card | None
    """As others leave it; None on the CPU."""
    fit: Fit
    local_path: str | None
    """Directory on the host that holds the weights; None where they are downloaded."""
    starts_after: tuple[str, ...] = ()
    """Models on its cards that have to stand before it measures what is free."""

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The vLLM servers and their cards."""
        return self.fit.replicas

    @property
    def rollout(self) -> RolloutMode:
        """How a replica in use is replaced."""
        return rollout_mode(self.settings, self.card)

    @property
    def directory(self) -> str:
        """Where the model lies in the weights volume, relative to its root."""
        return weights_directory(self.model.repo, self.model.revision)

    @property
    def fingerprint(self) -> str:
        """Changes with every setting for which vLLM is replaced: its weights are verified anew before it loads them.

        Settings alone, not the rendered command: what a new version of this program renders is no new weights.
        """
        return json.dumps(
            [self.settings.replica_settings(), self.settings.replicas, self.settings.placement, self.image]
        )


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """Everything that is decided before anything is deployed. ``prefix`` starts every name on the host."""

    stack: str
    prefix: str
    settings: StackSettings
    secrets: StackSecrets
    models: tuple[ServedModel, ...]
    default: ServedModel
    """Who answers as `default`."""
    asked: AskedModels
    """Who does what for the app."""
    card: Card | None
    """What the cards are; None on the CPU."""
    unread_keys: tuple[str, ...] = ()
    """A warning for each key of the file that has no effect."""

    @property
    def docker_host(self) -> HostAddress:
        """What commands need to reach the daemon."""
        return host_facts(self.settings.host)

    @property
    def answer(self) -> AnswerMode:
        """How the app answers, with `auto` resolved."""
        return answer_mode(self.settings.pageindex, self.answering.model, self.answering.settings)

    @property
    def answering(self) -> ServedModel:
        """Who answers the app's questions."""
        return next(model for model in self.models if self.asked.answer.name in model.names)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and still worth a word at every preview."""
        found = [f"waived {name}: {reason}" for name, reason in sorted(self.settings.waivers.items())]
        found += self.settings.gateway.expiry_warnings(datetime.now(UTC).date())
        for served in self.models:
            what = f"{served.name}: " if served.name else ""
            if served.fit.memory and served.fit.memory.tight:
                found.append(
                    f"{what}the model fits its cards only just: within half a GiB, which is the memory planner's doubt"
                )
            if not (served.fit.memory or served.fit.cpu):
                found.append(f"{what}{served.model.repo} has no dimensions, so that nobody has planned its memory")
        return (*found, *self.unread_keys)


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
    given, drafts, errors = resolve(stack, settings, secrets, unencrypted, encrypted)
    errors += foreign.errors
    fits: list[Fit | None] = []
    card = next((draft.card for draft in drafts if draft.card), None)
    if given and drafts:
        errors += errors_across(given, drafts)
        inputs = [draft.path(key) for draft in drafts for key in MEMORY_INPUTS]
        if not any(error.concerns(*inputs) for error in errors):
            placed, misplaced = on_their_cards(given, drafts)
            errors += misplaced
            drafts = drafts if misplaced else placed
            for draft in placed:
                fitted, misfits = fit(draft)
                fits.append(fitted)
                errors += map(draft.said_here, misfits)
    default = default_of(given, drafts) if given else None
    models = [_served(draft, fitted, drafts, default) for draft, fitted in zip(drafts, fits, strict=False)]
    complete = [model for model in models if model]
    if errors or given is None or not default or not drafts[0].secrets or len(complete) != len(drafts):
        raise BadStackFile(stack, errors)
    return StackPlan(
        stack=stack,
        prefix=prefix_of(stack),
        settings=given,
        secrets=drafts[0].secrets,
        models=tuple(complete),
        default=next(model for model in complete if model.name == default.name),
        asked=_asked(app_models(given, drafts)),
        card=card,
        unread_keys=foreign.warnings,
    )


def _asked(chosen: AppModels) -> AskedModels:
    """The models that the app asks, each by its own name."""

    def asked(draft: Draft) -> AskedModel:
        return AskedModel(draft.name or STABLE_ALIAS, draft.settings.vllm.max_model_len)

    able = chosen.summary.model and hindrance(chosen.summary.model, chosen.summary.settings.vllm) is None
    return AskedModels(
        answer=asked(chosen.answer),
        summary=asked(chosen.summary),
        scans=asked(chosen.scans) if chosen.scans else None,
        expands_trees=chosen.summary is chosen.answer or bool(able),
    )


def _served(draft: Draft, fitted: Fit | None, drafts: Sequence[Draft], default: Draft | None) -> ServedModel | None:
    """None where something is missing, which then has an error."""
    if draft.model is None or draft.image is None or fitted is None:
        return None
    settings, revision = draft.settings, draft.settings.model_cache.revision
    named = settings.model if isinstance(settings.model, str) else ""
    repos = [each.model.repo for each in drafts if each.model]
    is_default = default is not None and draft.name == default.name
    before = {each.name for each in drafts[: drafts.index(draft)]}
    return ServedModel(
        name=draft.name,
        names=served_names(draft.name, draft.model.repo, repos, default=is_default),
        settings=settings.vllm,
        model=draft.model.model_copy(update={"revision": revision}) if revision else draft.model,
        image=draft.image,
        version=vllm_version(draft.image),
        card=draft.card,
        fit=fitted,
        local_path=settings.model_cache.local_path or (named if named.startswith("/") else None),
        starts_after=tuple(name for name in draft.neighbours if name in before),
    )
