"""Raw values of a stack file become validated settings with every name looked up. Errors are collected on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from planning.hosts.images import image_names, resolve_image
from planning.memory.cards import CARDS, Card, UnknownCard, card_of
from planning.models.catalog import catalog, resolve_model
from planning.rules.draft import Draft
from planning.settings.areas import StackSecrets, StackSettings
from planning.settings.config_commands import rm_line, set_secret_line, set_value_line
from planning.settings.errors import ConfigError
from planning.settings.fields import set_line
from planning.settings.mending import StackContent, secret_errors
from planning.settings.model import InlineModel
from planning.settings.readings import meant_entry

Found = TypeVar("Found")


def resolve(
    stack: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    unencrypted: Collection[str],
    encrypted: Collection[str],
) -> tuple[Draft | None, list[ConfigError]]:
    """The draft, and every error found so far. Without valid settings there is no draft, and names are still looked up.

    What a draft lacks has an error in the list.
    """
    errors = [
        ConfigError(key, "must be encrypted", " && ".join([rm_line([key], stack), *_set_anew(key, secrets, stack)]))
        for key in sorted(unencrypted)
    ]
    good_settings, good_secrets = None, None
    try:
        good_settings = StackSettings.model_validate(settings)
    except ValidationError as error:
        content = StackContent(
            stack=stack,
            raw=settings,
            model=StackSettings,
            secrets=StackSecrets.model_fields.keys(),
            encrypted=encrypted,
            names={("model",): catalog(), ("vllm", "image"): image_names()},
        )
        errors += content.errors(error)
    try:
        good_secrets = StackSecrets.model_validate(secrets)
    except ValidationError as error:
        errors += secret_errors(error, stack)
    vllm = settings.get("vllm")
    named = (settings.get("model"), vllm.get("image") if isinstance(vllm, Mapping) else None)
    model_name, image_name = (good_settings.model, good_settings.vllm.image) if good_settings else named
    model_mend = set_value_line(["model"], _closest(model_name, catalog()) or next(iter(catalog())), stack)
    model = _look_up(errors, model_name, resolve_model, "model", model_mend)
    image_path = ["vllm", "image"]
    image_mend = (
        set_value_line(image_path, f"vllm-{good_settings.vllm.device}", stack)
        if good_settings
        else set_line(StackSettings, image_path, stack)
    )
    image = _look_up(errors, image_name, resolve_image, "vllm.image", image_mend)
    if good_settings is None:
        return None, errors
    card = _card(errors, good_settings, stack)
    draft = Draft(stack=stack, settings=good_settings, secrets=good_secrets, model=model, image=image, card=card)
    return draft, errors


def _look_up(
    errors: list[ConfigError], given: Any, look_up: Callable[[Any], Found], key: str, mend: str
) -> Found | None:
    """Find what a name stands for, even when other parts of the file have errors."""
    if not isinstance(given, str | InlineModel) or any(error.concerns(key) for error in errors):
        return None
    try:
        return look_up(given)
    except KeyError as error:
        errors.append(ConfigError(key, str(error.args[0]), mend, str(given)))
        return None


def _closest(given: Any, known: Collection[str]) -> str | None:
    """The known name that was meant, if it is the only one that is close."""
    return meant_entry(given, sorted(known)) if isinstance(given, str) else None


def _set_anew(key: str, secrets: Mapping[str, Any], stack: str) -> list[str]:
    """The commands that set a secret, or each of a map of secrets."""
    inner = secrets.get(key)
    names = [[key, name] for name in inner] if isinstance(inner, Mapping) else [[key]]
    return [set_secret_line(path, stack) for path in names]


def _card(errors: list[ConfigError], settings: StackSettings, stack: str) -> Card | None:
    """The card that the stack file means; None on the CPU."""
    if settings.vllm.device == "cpu":
        return None
    if settings.host.gpus is None:
        reason = "device cuda needs to know the cards, so that the preview can say whether the model fits"
        errors.append(ConfigError("host.gpus.name", reason, set_line(StackSettings, ["host", "gpus", "name"], stack)))
        return None
    try:
        return card_of(settings.host.gpus)
    except UnknownCard as error:
        numbers = [
            set_line(StackSettings, ["host", "gpus", name], stack)
            for name in ("memory_mib", "compute_capability")
            if getattr(settings.host.gpus, name) is None
        ]
        reason, name = f"{error}; or give its memory_mib and compute_capability", settings.host.gpus.name
        meant = _closest(name, CARDS)
        mend = set_value_line(["host", "gpus", "name"], meant, stack) if meant else " && ".join(numbers)
        errors.append(ConfigError("host.gpus.name", reason, mend, name))
        return None
