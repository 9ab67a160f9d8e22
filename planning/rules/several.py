"""Several models in one stack: what they are called, which of them answers as `default`, and who may use which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planning.hosts.names import STABLE_ALIAS
from planning.rules.draft import Draft
from planning.settings.areas import StackSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.errors import ConfigError
from planning.settings.readings import meant_entry


def default_of(settings: StackSettings, drafts: Sequence[Draft]) -> Draft | None:
    """The model that answers as `default`: the one that is named, else the only one that can; None if that is open."""
    if settings.default_model or len(drafts) == 1:
        wanted = settings.default_model or drafts[0].name
        return next((draft for draft in drafts if draft.name == wanted), None)
    able = [draft for draft in drafts if draft.model is None or draft.model.writes]
    return able[0] if len(able) == 1 else None


def several_errors(settings: StackSettings, drafts: Sequence[Draft]) -> Iterator[ConfigError]:
    """Whether the file means one model or several, and whether all that it says of them goes together."""
    stack = drafts[0].stack
    if not settings.models:
        yield from _for_one(settings, stack)
        return
    if settings.model is not None:
        value = settings.model if isinstance(settings.model, str) else settings.model.repo
        reason = "`models` says what is served; a file has the one or the other"
        yield ConfigError("model", reason, rm_line(["model"], stack), value)
    if "vllm" in settings.model_fields_set:
        yield ConfigError("vllm", "each of `models` says itself how it is served", rm_line(["vllm"], stack))
    for field in ("revision", "local_path"):
        if given := getattr(settings.model_cache, field):
            path = ["model_cache", field]
            reason = f"each of `models` has a {field} of its own"
            yield ConfigError(".".join(path), reason, rm_line(path, stack), given)
    yield from _names(settings, stack)
    yield from _default(settings, drafts)
    yield from _clients(settings, stack)


def _clients(settings: StackSettings, stack: str) -> Iterator[ConfigError]:
    for client, limits in settings.gateway.clients.items():
        path = ["gateway", "clients", client, "models"]
        for at, name in enumerate(limits.models):
            if name not in settings.models:
                reason = f"no such model; `models` has: {', '.join(sorted(settings.models))}"
                meant = meant_entry(name, sorted(settings.models))
                mend = set_value_line([*path, str(at)], meant, stack) if meant else rm_line([*path, str(at)], stack)
                yield ConfigError(".".join(path), reason, mend, name)
        theirs = [name for name in limits.models if name in settings.models] or sorted(settings.models)
        for name, rate in limits.model_requests_per_minute.items():
            path = ["gateway", "clients", client, "model_requests_per_minute", name]
            if name not in theirs:
                whose = "may use" if name in settings.models else "has no such model; it may use"
                reason = f"{client} {whose} only {', '.join(theirs)}"
                yield ConfigError(".".join(path), reason, rm_line(path, stack), str(rate))
            elif rate > limits.requests_per_minute:
                reason = f"{client} may make only {limits.requests_per_minute} requests a minute to all models together"
                yield ConfigError(
                    ".".join(path), reason, set_value_line(path, limits.requests_per_minute, stack), str(rate)
                )


def served_names(name: str, repo: str, repos: Sequence[str], *, default: bool) -> tuple[str, ...]:
    """Every name that a model answers to, the one first that it calls itself.

    Among several that is its own. Two of one repository do not answer to the repository's name.
    """
    if not name:
        return (STABLE_ALIAS, repo)
    names = [name, *([repo] if repos.count(repo) == 1 else []), *([STABLE_ALIAS] if default else [])]
    return tuple(names)


def _for_one(settings: StackSettings, stack: str) -> Iterator[ConfigError]:
    if settings.default_model:
        reason = "there is one model, and it answers as `default`"
        yield ConfigError("default_model", reason, rm_line(["default_model"], stack), settings.default_model)
    for client, limits in settings.gateway.clients.items():
        if limits.models:
            path = ["gateway", "clients", client, "models"]
            reason = "there is one model, and who may use the gateway may use it"
            yield ConfigError(".".join(path), reason, rm_line(path, stack), ", ".join(limits.models))
        if limits.model_requests_per_minute:
            path = ["gateway", "clients", client, "model_requests_per_minute"]
            reason = "there is one model, and requests_per_minute says how many it gets"
            yield ConfigError(".".join(path), reason, rm_line(path, stack), ", ".join(limits.model_requests_per_minute))


def _names(settings: StackSettings, stack: str) -> Iterator[ConfigError]:
    if STABLE_ALIAS in settings.models:
        reason = "is what one of the models is called beside its own name; call it otherwise, and set default_model"
        yield ConfigError(f"models.{STABLE_ALIAS}", reason, rm_line(["models", STABLE_ALIAS], stack))


def _default(settings: StackSettings, drafts: Sequence[Draft]) -> Iterator[ConfigError]:
    stack, named = drafts[0].stack, settings.default_model
    able = [draft.name for draft in drafts if draft.model is None or draft.model.writes]
    if not able:
        reason = "none of `models` chats, and the app's questions need one that does"
        first = f"models.{drafts[0].name}.model"
        yield ConfigError(first, reason, set_value_line(first.split("."), "smollm2-135m-instruct", stack))
        return
    mend = set_value_line(["default_model"], (named and meant_entry(named, able)) or able[0], stack)
    if named is None and len(able) > 1:
        reason = f"{' and '.join(able)} could answer as `default`; say which"
        yield ConfigError("default_model", reason, mend)
    elif named is not None and named not in settings.models:
        reason = f"no such model; `models` has: {', '.join(sorted(settings.models))}"
        yield ConfigError("default_model", reason, mend, named)
    elif named is not None and named not in able:
        task = next(draft.model.task for draft in drafts if draft.name == named and draft.model)
        yield ConfigError("default_model", f"its task is {task}, and `default` answers questions", mend, named)
