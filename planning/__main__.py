"""`python -m planning STACK`: what a stack file will do to its cards, without Pulumi, a daemon or a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from planning.memory.table import card_bars, cpu_table, memory_table, suggestions_text, verdict
from planning.models.local_directory import read_local_model
from planning.plan import ServedModel, StackPlan
from planning.reference import reference_page, schema_text
from planning.settings.errors import NAMESPACE, BadStackFile
from planning.stack_files import ROOT, plan_of_file, stack_file_of

SCHEMA_FILE = ROOT / "docs" / "stack.schema.json"
REFERENCE_FILE = ROOT / "docs" / "configuration.md"


def plan_text(plan: StackPlan) -> str:
    """The plan as a person reads it."""
    several = bool(plan.default.name)
    parts = [_model_text(plan, served) for served in plan.models]
    if several:
        parts.insert(0, f"stack {plan.stack}: {len(plan.models)} models; {plan.default.name} answers as default")
        if plan.card:
            tenants = [(served.fit.memory, served.replicas) for served in plan.models if served.fit.memory]
            parts.append(card_bars(tenants, plan.card, plan.settings.host.card_count))
    if several or plan.asked.scans:
        parts.append(app_text(plan))
    parts += [f"warning: {text}" for text in plan.warnings]
    return ("\n\n" if several else "\n").join(parts)


def app_text(plan: StackPlan) -> str:
    """Who does what for the app."""
    asked, ocr = plan.asked, plan.settings.pageindex.ocr
    scans = asked.scans.name if asked.scans else "nobody"
    if ocr:
        scans = f"stack {ocr.stack}" if ocr.stack else str(ocr.base_url)
    rows = (
        ("answers", f"{asked.answer.name}, {plan.answer}, {asked.answer.context_tokens:,} tokens"),
        ("summaries", f"{asked.summary.name}, {asked.summary.context_tokens:,} tokens"),
        ("scans", scans),
    )
    return "\n".join(["the app's models", *(f"  {what:<10} {who}" for what, who in rows)])


def _model_text(plan: StackPlan, served: ServedModel) -> str:
    """One model: what it is, and what it needs."""
    model, fit = served.model, served.fit
    version = ".".join(map(str, served.version)) if served.version else "of unknown version"
    weights = served.local_path or f"{model.repo} at {model.revision}"
    replicas = f"{len(served.replicas)} replica{'s' if len(served.replicas) != 1 else ''}"
    lines = [
        f"{f'model {served.name}' if served.name else f'stack {plan.stack}'}: {model.repo} in {replicas}",
        f"image {served.image}, vLLM {version}; weights from {weights}",
    ]
    if served.name:
        lines.append(f"called {', '.join(served.names)}; task {model.task}")
    if served.name and served.card:
        cards = ", ".join(str(index) for replica in served.replicas for index in replica.cards)
        waits = f"; starts after {' and '.join(served.starts_after)}" if served.starts_after else ""
        lines.append(f"card {cards}: {served.settings.gpu_memory_utilization:.2f} of its memory{waits}")
    lines.append("")
    if fit.memory and plan.card:
        lines.append(memory_table(fit.memory))
        if not served.name:
            lines += ["", card_bars([(fit.memory, fit.replicas)], plan.card, plan.settings.host.card_count)]
        lines += ["", verdict(fit.memory)]
        if fit.suggestions:
            lines.append(suggestions_text(fit.suggestions))
    elif fit.cpu:
        lines += [cpu_table(fit.cpu), "", "fits"]
    else:
        lines.append("whether it fits can't be said; see model.architecture in docs/configuration.md")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m planning", description=__doc__)
    parser.add_argument("what", help="a stack, a stack file, or one of: schema, reference, model")
    parser.add_argument("directory", nargs="?", help="with `model`: the directory to read")
    chosen = parser.parse_args(arguments)
    if chosen.what == "schema":
        SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    elif chosen.what == "reference":
        REFERENCE_FILE.write_text(reference_page(), encoding="utf-8")
    elif chosen.what == "model":
        if not chosen.directory:
            parser.error("model needs a directory")
        return _print_model(Path(chosen.directory))
    else:
        return _print_plan(stack_file_of(chosen.what))
    return 0


def _print_plan(path: Path) -> int:
    if not path.is_file():
        print(f"there is no {path}", file=sys.stderr)
        return 2
    try:
        print(plan_text(plan_of_file(path)))
    except (BadStackFile, yaml.YAMLError) as errors:
        print(errors, file=sys.stderr)
        return 1
    return 0


def _print_model(directory: Path) -> int:
    try:
        model = read_local_model(directory)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    content = {f"{NAMESPACE}:model": model.model_dump(exclude_defaults=True)}
    print(yaml.safe_dump({"config": content}, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
