"""Raw values of a stack file become validated settings with every name looked up. Errors are collected on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from planning.hosts.images import image_names, resolve_image
from planning.memory.cards import CARDS, Card, UnknownCard, card_of
from planning.models.catalog import catalog, resolve_model
from planning.rules.draft import Draft, as_single
from planning.settings.areas import OneModelSettings, StackSecrets, StackSettings
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
) -> tuple[StackSettings | None, list[Draft], list[ConfigError]]:
    """The settings, a draft of each model, and every error found so far.

    Without valid settings there is no draft, and names are still looked up. What a draft lacks has an error.
    """
    errors = [
        ConfigError(key, "must be encrypted", " && ".join([rm_line([key], stack), *_set_anew(key, secrets, stack)]))
        for key in sorted(unencrypted)
    ]
    models = settings.get("models")
    kind = StackSettings if models else OneModelSettings
    good_settings, good_secrets = None, None
    try:
        good_settings = kind.model_validate(settings)
    except ValidationError as error:
        names = [[], *(["models", name] for name in (models if isinstance(models, Mapping) else ()))]
        content = StackContent(
            stack=stack,
            raw=settings,
            model=kind,
            secrets=StackSecrets.model_fields.keys(),
            encrypted=encrypted,
            names={(*at, "model"): catalog() for at in names}
            | {(*(at or ["vllm"]), "image"): image_names() for at in names},
        )
        errors += content.errors(error)
    try:
        good_secrets = StackSecrets.model_validate(secrets)
    except ValidationError as error:
        errors += secret_errors(error, stack)
    if good_settings is None:
        vllm = settings.get("vllm")
        image = vllm.get("image") if isinstance(vllm, Mapping) else None
        _found_model(errors, settings.get("model"), "model", stack)
        _found_image(errors, image, ["vllm", "image"], set_line(StackSettings, ["vllm", "image"], stack))
        return None, [], errors
    alone = {name: as_single(good_settings, model) for name, model in good_settings.models.items()}
    drafts = [
        _draft(errors, stack, name, single, good_secrets) for name, single in (alone or {"": good_settings}).items()
    ]
    return good_settings, drafts, errors


def _draft(
    errors: list[ConfigError], stack: str, name: str, settings: StackSettings, secrets: StackSecrets | None
) -> Draft:
    """One model with its names looked up."""
    at = ["models", name] if name else []
    vllm = settings.vllm
    image_path = [*(at or ["vllm"]), "image"]
    return Draft(
        stack=stack,
        settings=settings,
        secrets=secrets,
        name=name,
        model=_found_model(errors, settings.model, ".".join([*at, "model"]), stack),
        image=_found_image(errors, vllm.image, image_path, set_value_line(image_path, f"vllm-{vllm.device}", stack)),
        card=_card(errors, settings, stack),
    )


def _found_model(errors: list[ConfigError], given: Any, key: str, stack: str) -> InlineModel | None:
    mend = set_value_line(key.split("."), _closest(given, catalog()) or next(iter(catalog())), stack)
    return _look_up(errors, given, resolve_model, key, mend)


def _found_image(errors: list[ConfigError], given: Any, path: list[str], mend: str) -> str | None:
    return _look_up(errors, given, resolve_image, ".".join(path), mend)


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
        if any(error.concerns("host.gpus") for error in errors):  # another model said so
            return None
        reason = "device cuda needs to know the cards, so that the preview can say whether the model fits"
        errors.append(ConfigError("host.gpus.name", reason, set_line(StackSettings, ["host", "gpus", "name"], stack)))
        return None
    try:
        return card_of(settings.host.gpus)
    except UnknownCard as error:
        if any(known.concerns("host.gpus") for known in errors):
            return None
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
