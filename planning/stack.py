"""From a stack file's raw content to the plan of a stack, or to the list of everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from planning.answering import Mode as AnswerMode
from planning.answering import answer_mode
from planning.catalog import catalog, resolve_model
from planning.fit import Fit, fit
from planning.floors import Version, vllm_version
from planning.hardware import Card, UnknownCard, card_of
from planning.images import resolve_image
from planning.model import InlineModel
from planning.names import prefix_of
from planning.placement import Replica
from planning.problems import (
    BadStackFile,
    Problem,
    problems_of_secrets,
    problems_of_settings,
    rm_line,
    set_line,
    set_secret_line,
    set_value_line,
)
from planning.rollouts import Mode, rollout_mode
from planning.rules import Draft, across
from planning.settings import StackSecrets, StackSettings
from planning.ssh import SshHost

Found = TypeVar("Found")


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

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The vLLM servers and their cards."""
        return self.fit.replicas

    @property
    def rollout(self) -> Mode:
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
        return tuple(found)

    @property
    def model_directory(self) -> str:
        """Where the model lies in the weights volume, relative to its root."""
        return f"{self.model.repo.replace('/', '--')}/{self.model.revision}"

    @property
    def vllm_fingerprint(self) -> str:
        """Changes with everything for which vLLM is replaced, and so loads its weights anew."""
        vllm = self.settings.vllm
        return json.dumps([vllm.replica_settings(), vllm.replicas, vllm.placement, self.vllm_image])

    def next_steps(self, api_url: str, app_url: str) -> str:
        """What a user types next."""
        reached, gateway = SshHost.of(self.settings.host), self.settings.gateway
        tunnel = [reached.user_command([gateway.api_port, gateway.app_port], gateway.bind)] if reached else []
        own = gateway.tls == "self-signed"
        certificate = [f"pulumi stack output -s {self.stack} tls_certificate > gateway.pem"] if own else []
        curl = "curl --cacert gateway.pem" if own else "curl"
        return "\n".join(
            [
                *tunnel,
                *certificate,
                f"export KEY=$(pulumi stack output -s {self.stack} api_key --show-secrets)",
                f'{curl} -H "Authorization: Bearer $KEY" {api_url}/models',
                f'{curl} -H "Authorization: Bearer $KEY" -F file=@document.pdf {app_url}/api/documents',
                f'{curl} -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
                f"""  -d '{{"question": "What does it say?"}}' {app_url}/api/ask""",
            ]
        )


def plan_stack(
    stack: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    unencrypted: Collection[str] = (),
) -> StackPlan:
    """Plan a stack from the raw values of its file.

    ``unencrypted`` names keys of ``secrets`` that the file holds in clear. Raises BadStackFile with all faults.
    """
    problems = [
        Problem(key, "must be encrypted", " && ".join([rm_line([key], stack), *_set_anew(key, secrets, stack)]))
        for key in sorted(unencrypted)
    ]
    good_settings, good_secrets = None, None
    try:
        good_settings = StackSettings.model_validate(settings)
    except ValidationError as error:
        problems += problems_of_settings(error, StackSettings, settings, stack)
    try:
        good_secrets = StackSecrets.model_validate(secrets)
    except ValidationError as error:
        problems += problems_of_secrets(error, stack)
    model = _looked_up(
        problems, settings.get("model"), resolve_model, "model",
        set_value_line(["model"], next(iter(catalog())), stack),
    )  # fmt: skip
    vllm = settings.get("vllm")
    image = _looked_up(
        problems, vllm.get("image") if isinstance(vllm, Mapping) else None, resolve_image, "vllm.image",
        set_line(StackSettings, ["vllm", "image"], stack),
    )  # fmt: skip
    fitted, card = None, None
    if good_settings:
        if not any(problem.key.startswith("model") for problem in problems):
            model = resolve_model(good_settings.model)
        if not any(problem.key == "vllm.image" for problem in problems):
            image = resolve_image(good_settings.vllm.image)
        card = _card(problems, good_settings, stack)
        draft = Draft(
            stack=stack, settings=good_settings, secrets=good_secrets, model=model, image=image, card=card
        )  # fmt: skip
        problems += across(draft)
        if not _in_the_way_of_a_memory_plan(problems):
            fitted, misfits = fit(draft)
            problems += misfits
    if problems or not (good_settings and good_secrets and model and image and fitted):
        raise BadStackFile(stack, problems)
    revision = good_settings.model_cache.revision
    return StackPlan(
        stack=stack,
        prefix=prefix_of(stack),
        settings=good_settings,
        secrets=good_secrets,
        model=model.model_copy(update={"revision": revision}) if revision else model,
        vllm_image=image,
        vllm_version=vllm_version(image),
        card=card,
        fit=fitted,
    )


def _set_anew(key: str, secrets: Mapping[str, Any], stack: str) -> list[str]:
    """The commands that set a secret, or each of a map of secrets."""
    inner = secrets.get(key)
    names = [[key, name] for name in inner] if isinstance(inner, Mapping) else [[key]]
    return [set_secret_line(path, stack) for path in names]


def _card(problems: list[Problem], settings: StackSettings, stack: str) -> Card | None:
    """The card that the stack file means; on the CPU there is none to mean."""
    if settings.vllm.device == "cpu":
        return None
    if settings.host.gpus is None:
        reason = "device cuda needs to know the cards, so that the preview can say whether the model fits"
        problems.append(Problem("host.gpus.name", reason, set_line(StackSettings, ["host", "gpus", "name"], stack)))
        return None
    try:
        return card_of(settings.host.gpus)
    except UnknownCard as error:
        numbers = [
            set_line(StackSettings, ["host", "gpus", name], stack)
            for name in ("memory_mib", "compute_capability")
            if getattr(settings.host.gpus, name) is None
        ]
        reason = f"{error}; or give its memory_mib and compute_capability"
        problems.append(Problem("host.gpus.name", reason, " && ".join(numbers), settings.host.gpus.name))
        return None


def _in_the_way_of_a_memory_plan(problems: list[Problem]) -> bool:
    """Faults after whose mending memory would be planned differently: one at a time, or the numbers confuse."""
    return any(
        problem.key.startswith(
            ("model", "host.gpus", "vllm.image", "vllm.tensor", "vllm.pipeline", "vllm.replicas", "vllm.quantization",
             "vllm.dtype", "vllm.kv_cache_dtype", "vllm.max_num_batched_tokens", "vllm.max_model_len")
        )
        and problem.key != "model_cache.revision"
        for problem in problems
    )  # fmt: skip


def _looked_up(
    problems: list[Problem], name: Any, look_up: Callable[[str], Found], key: str, mend: str
) -> Found | None:
    """Look a name up in one of our tables, even when other parts of the file are at fault."""
    if not isinstance(name, str) or any(problem.key.startswith(key) for problem in problems):
        return None
    try:
        return look_up(name)
    except KeyError as error:
        problems.append(Problem(key, str(error.args[0]), mend, name))
        return None
