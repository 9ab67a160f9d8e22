"""Which model of a stack does what for the app: answers, summarises while indexing, reads pages that are pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from planning.hosts.names import STABLE_ALIAS
from planning.rules.draft import Draft
from planning.rules.several import default_of
from planning.settings.areas import StackSettings
from planning.settings.config_commands import rm_line, set_value_line
from planning.settings.errors import ConfigError
from planning.settings.readings import meant_entry

AREA = ["pageindex", "models"]
PURPOSES: Mapping[str, str] = {
    "answer": "answers questions",
    "summary": "summarises sections",
    "scans": "reads pages that are pictures",
}


@dataclass(frozen=True)
class AppModels:
    """The models that the app asks; ``scans`` is None where no model of this stack reads them."""

    answer: Draft
    summary: Draft
    scans: Draft | None


def app_models(given: StackSettings, drafts: Sequence[Draft]) -> AppModels:
    """What the file says where it can be, and what the tasks allow where it says nothing."""
    said = given.pageindex.models
    by_name = {draft.name: draft for draft in drafts}

    def named(purpose: str) -> Draft | None:
        draft = by_name.get(getattr(said, purpose) or "") if given.models else None
        return draft if draft and _hindrance(purpose, draft) is None else None

    answer = named("answer") or default_of(given, drafts) or drafts[0]
    seeing = [draft for draft in (answer, *drafts) if _hindrance("scans", draft) is None and draft.model]
    scans = named("scans") or next(iter(seeing), None)
    return AppModels(answer, named("summary") or answer, None if given.pageindex.ocr else scans)


def app_model_errors(given: StackSettings, drafts: Sequence[Draft]) -> Iterator[ConfigError]:
    """Names that are no model of the stack, models that cannot do what they are to do, scans read by two."""
    stack, said = drafts[0].stack, given.pageindex.models
    named = {purpose: getattr(said, purpose) for purpose in PURPOSES if getattr(said, purpose)}
    if named and not given.models:
        reason = "there is one model, and it does all that the app asks"
        yield ConfigError(".".join(AREA), reason, rm_line(AREA, stack), ", ".join(named.values()))
        return
    for purpose, name in named.items():
        path = [*AREA, purpose]
        if purpose == "scans" and given.pageindex.ocr:
            reason = "pageindex.ocr already says who reads scans"
            yield ConfigError(".".join(path), reason, rm_line(path, stack), name)
            continue
        draft = next((draft for draft in drafts if draft.name == name), None)
        unfit = _hindrance(purpose, draft) if draft else f"no such model; `models` has: {_listed(drafts)}"
        if unfit:
            instead = _instead(purpose, name, given, drafts)
            mend = set_value_line(path, instead, stack) if instead else rm_line(path, stack)
            yield ConfigError(".".join(path), unfit, mend, name)


def _instead(purpose: str, name: str, given: StackSettings, drafts: Sequence[Draft]) -> str | None:
    """The model that was meant, if one of those that can is close; without one the default holds."""
    able = [draft.name for draft in drafts if _hindrance(purpose, draft) is None]
    default = default_of(given, drafts)
    if name == STABLE_ALIAS and default and default.name in able:
        return default.name
    return meant_entry(name, able) if name not in given.models else None


def _listed(drafts: Sequence[Draft]) -> str:
    return ", ".join(sorted(draft.name for draft in drafts))


def _hindrance(purpose: str, draft: Draft) -> str | None:
    """Why a model cannot do it, or None; one that could not be looked up has an error of its own."""
    if draft.model is None:
        return None
    if not draft.model.writes:
        return f"its task is {draft.model.task}, and what {PURPOSES[purpose]} has to chat"
    if purpose != "scans":
        return None
    if not draft.model.sees:
        return f"{draft.model.repo} reads no images"
    return "it is told to take no images" if draft.settings.vllm.images_per_prompt == 0 else None
