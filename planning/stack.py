"""From a stack file's raw content to the plan of a stack, or to the list of everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from planning.catalog import catalog, resolve_model
from planning.images import resolve_image
from planning.problems import (
    BadStackFile,
    Problem,
    problems_of_secrets,
    problems_of_settings,
    set_line,
    set_secret_line,
)
from planning.settings import InlineModel, StackSecrets, StackSettings

PROJECT = "pageindex"
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """Everything that is decided before anything is deployed. ``prefix`` starts every name on the host."""

    stack: str
    prefix: str
    settings: StackSettings
    secrets: StackSecrets
    model: InlineModel
    vllm_image: str

    @property
    def model_directory(self) -> str:
        """Where the model lies in the weights volume, relative to its root."""
        return f"{self.model.repo.replace('/', '--')}/{self.model.revision}"

    @property
    def vllm_fingerprint(self) -> str:
        """Changes with everything for which vLLM is replaced, and so loads its weights anew."""
        return self.settings.vllm.model_dump_json() + self.vllm_image

    def next_steps(self, api_url: str, app_url: str) -> str:
        """What a user types next."""
        return "\n".join(
            [
                f"export KEY=$(pulumi stack output -s {self.stack} api_key --show-secrets)",
                f'curl -H "Authorization: Bearer $KEY" {api_url}/models',
                f'curl -H "Authorization: Bearer $KEY" -F file=@document.pdf {app_url}/api/documents',
                'curl -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
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
        Problem(key, "must be encrypted", f"pulumi config rm -s {stack} {key} && {set_secret_line([key], stack)}")
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
        f"pulumi config set -s {stack} model {next(iter(catalog()))}",
    )  # fmt: skip
    vllm = settings.get("vllm")
    image = _looked_up(
        problems, vllm.get("image") if isinstance(vllm, Mapping) else None, resolve_image, "vllm.image",
        set_line(StackSettings, ["vllm", "image"], stack),
    )  # fmt: skip
    if good_settings:
        model = resolve_model(good_settings.model) if not problems else model
        image = resolve_image(good_settings.vllm.image) if not problems else image
        problems += _across(stack, good_settings, good_secrets, model)
    if problems or not (good_settings and good_secrets and model and image):
        raise BadStackFile(stack, problems)
    return StackPlan(
        stack=stack,
        prefix=f"{PROJECT}-{stack}",
        settings=good_settings,
        secrets=good_secrets,
        model=model,
        vllm_image=image,
    )


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


def _across(
    stack: str, settings: StackSettings, secrets: StackSecrets | None, model: InlineModel | None
) -> list[Problem]:
    """Rules between areas, and between settings and secrets."""
    found = []
    if model and settings.vllm.max_model_len > model.context_limit:
        found.append(
            Problem(
                "vllm.max_model_len",
                f"{model.repo} was made for at most {model.context_limit} tokens",
                f"pulumi config set -s {stack} --path vllm.max_model_len {model.context_limit}",
                str(settings.vllm.max_model_len),
            )
        )
    if model and settings.pageindex.answer == "agent" and not model.tool_call_parser:
        found.append(
            Problem(
                "pageindex.answer",
                f"{model.repo} has no tool_call_parser, and the agent works by tool calls",
                f"pulumi config set -s {stack} --path pageindex.answer two-step",
                "agent",
            )
        )
    upload_mib, body_mib = settings.pageindex.max_upload_mib, settings.gateway.max_body_mib
    if upload_mib > body_mib:
        found.append(
            Problem(
                "pageindex.max_upload_mib",
                f"larger than what the gateway lets through, gateway.max_body_mib ({body_mib})",
                f"pulumi config set -s {stack} --path pageindex.max_upload_mib {body_mib}",
                str(upload_mib),
            )
        )
    if secrets is None:
        return found
    if model and model.gated and not secrets.hf_token:
        found.append(
            Problem(
                "hf_token",
                f"{model.repo} is gated on the hub and needs a token",
                set_secret_line(["hf_token"], stack),
            )
        )
    for client in sorted(set(settings.gateway.clients) - set(secrets.api_keys)):
        found.append(
            Problem(
                f"api_keys.{client}",
                f"gateway.clients names {client}, but there is no key for it",
                set_secret_line(["api_keys", client], stack),
            )
        )
    return found
