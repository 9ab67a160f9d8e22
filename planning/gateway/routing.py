"""Several models behind one door: which of them a request is for, who may use it, and what it answers. Pure.

A stack with one model has none of this: its gateway passes every request on without a look at the body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from planning.gateway.config import ROUTES, TOKENIZER_ROUTES, RoutedModel
from planning.gateway.errors import error_body
from planning.gateway.replicas import STATE_DIR, outage_conf, outage_variable, replicas_conf
from planning.settings.gateway import ClientSettings

NAME = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"

# nginx reads no JSON, but PCRE's patterns can refer to themselves, and JSON is no more than that. The whole body has to
# be one object that says `model` once, at its top; `model` deep in a list is text like any other. Keys at the top are
# plain: one that is spelt with escapes could be a second `model` to whoever reads it next. No quantifier gives anything
# back, so that time grows with the body and with nothing else. Nesting of 150 levels is read, of 500 it is no model.
_QUOTE, _BACKSLASH = r"\x22", r"\x5c"  # nginx's own quoting stays out of it
_PLAIN = rf"[^{_QUOTE}{_BACKSLASH}\x00-\x1f]*+"
_GRAMMAR = "".join(
    (
        rf"(?<text>{_QUOTE}{_PLAIN}(?:{_BACKSLASH}.{_PLAIN})*+{_QUOTE})",
        r"(?<value>\s*+(?:(?&text)|[-+.0-9A-Za-z]++|\{(?:(?&member)(?:,(?&member))*+|\s*+)\}"
        r"|\[(?:(?&value)(?:,(?&value))*+|\s*+)\])\s*+)",
        r"(?<member>\s*+(?&text)\s*+:(?&value))",
        rf"(?<other>\s*+(?!{_QUOTE}model{_QUOTE}){_QUOTE}{_PLAIN}{_QUOTE}\s*+:(?&value))",
    )
)
MODEL_OF_BODY = (
    rf"^\s*+\{{(?:(?&other),)*+\s*+{_QUOTE}model{_QUOTE}\s*+:\s*+{_QUOTE}(?<model_name>{NAME}){_QUOTE}\s*+"
    rf"(?:,(?&other))*+\}}\s*+$(?(DEFINE){_GRAMMAR})"
)
_LOGGED_NAME = rf"\"model\"\s*:\s*\"(?<model_name>{NAME})\""


def of_model(name: str) -> str:
    """What nginx's names for a model end in."""
    return f"_{name.replace('-', '_')}"


def logged_model(api_port: int) -> list[str]:
    """`$model` where it decides nothing: what the log says, from a body that lies in memory."""
    return [
        "# nginx reads no JSON, but these quotes stand nowhere in it except around a key: in a text they are escaped.",
        "map $server_port $logged_body {",
        '    default "";',
        f"    {api_port} $request_body;  # empty where it was too large for memory",
        "}",
        "map $logged_body $model {",
        '    default "";',
        f'    "~{_LOGGED_NAME}" $model_name;',
        "}",
    ]


def routed_model(
    models: Sequence[RoutedModel], clients: Mapping[str, ClientSettings], open_paths: Sequence[str]
) -> list[str]:
    """`$model`, the model `$target` that it names, and whether it is refused to the client or on the path."""
    answered = [
        f'    "{model.name} {path}" 0;'
        for model in models
        for path in (*ROUTES[model.task], *TOKENIZER_ROUTES)
        if path in open_paths
    ]
    return [
        "# What a body says of its model. Looked up when the body is there, in /-routed, and never before.",
        "map $request_body $model {",
        '    default "";',
        f'    "~{MODEL_OF_BODY}" $model_name;',
        "}",
        *_targets("$model", "$target", models),
        'map "$client $target" $model_refused {',
        "    default 0;",
        *_refusals(clients),
        "}",
        'map "$target $route" $route_refused {',
        "    default 1;",
        *answered,
        "}",
        "map $uri $logged_path {",
        "    default $uri;",
        '    "~^/-" $route;  # where a routed request has come to',
        "}",
        'map "" $plain_spelling { default "$request_method $uri$is_args$args $server_protocol"; }  # as it came',
    ]


def model_pages(models: Sequence[RoutedModel], clients: Mapping[str, ClientSettings]) -> list[str]:
    """What /v1/models/NAME says of `$asked_model`: `$model_page`, empty where the client has no such model."""
    lines = [f"map \"\" {_facts(model)} {{ default '{_facts_of(model)}'; }}" for model in models]
    lines += _targets("$asked_model", "$asked_target", models)
    lines += ['map "$client $asked_target" $page_refused {', "    default 0;", *_refusals(clients), "}"]
    lines += ['map "$page_refused $asked_target $asked_model" $model_page {', '    default "";']
    lines += [f"    \"0 {model.label} {name}\" '{_page(name, model)}';" for model in models for name in model.names]
    return [*lines, "}"]


def model_lists(models: Sequence[RoutedModel], clients: Mapping[str, ClientSettings]) -> list[str]:
    """`$model_list`, all that a client may use, as /v1/models answers it; and their `$model_names`, for refusals."""
    lists, names = ["map $client $model_list {"], ["map $client $model_names {"]
    for client, allowed in [("", []), *((name, limits.models) for name, limits in clients.items() if limits.models)]:
        theirs = [(name, model) for model in models if not allowed or model.name in allowed for name in model.names]
        key = f'"~^{client}$"' if client else "default"
        listed = ",".join(_page(name, model) for name, model in theirs)
        lists.append(f'    {key} \'{{"object": "list", "data": [{listed}]}}\';')
        names.append(f"    {key} '{', '.join(name for name, _ in theirs)}';")
    return [*lists, "}", *names, "}"]


def outages(models: Sequence[RoutedModel], otherwise_s: int) -> list[str]:
    """`$outage_s` of the model that a request is for."""
    lines = [f"include {STATE_DIR}/{outage_conf(model.name)};" for model in models]
    lines += ["map $target $outage_s {", f"    default {otherwise_s};"]
    return [*lines, *(f"    {model.name} ${outage_variable(model.name)};" for model in models), "}"]


def target_names(models: Sequence[RoutedModel]) -> list[str]:
    """`$of_target`: nginx's variables hold a model's name as the stack file has it, its own names an underscore."""
    return ["map $target $of_target {", '    default "";',
            *(f"    {model.name} {of_model(model.name)};" for model in models), "}"]  # fmt: skip


def refusals() -> dict[str, str]:
    """The answers to requests that no model gets."""
    codes = ("no_model", "model_not_found", "model_not_allowed", "wrong_task")
    return {code: error_body(code) for code in codes}


def _targets(source: str, target: str, models: Sequence[RoutedModel]) -> list[str]:
    """nginx's maps ignore case, and names of models do not: the name itself is compared once more."""
    lines = [f"map {source} {target}_spelled {{", '    default "";']
    for model in models:
        for name in model.names:
            key = rf"\{name}" if name == "default" else name  # a word of nginx's own there
            lines.append(f'    "{key}" "{name} {model.label}";')
    lines += ["}", f'map "{source} {target}_spelled" {target} {{', '    default "";']
    return [*lines, r'    "~^(?<said>\S+) \k<said> (?<its_target>\S+)$" $its_target;', "}"]


def _refusals(clients: Mapping[str, ClientSettings]) -> list[str]:
    """Models that a client may not use; a name that is no model is another fault."""
    return [
        rf'    "~^{name} (?!(?:{"|".join(limits.models)})?$)" 1;' for name, limits in clients.items() if limits.models
    ]


def _facts(model: RoutedModel) -> str:
    """nginx's variable for what a model is whatever it is called; one value of all would be too long for nginx."""
    return f"$facts{of_model(model.name)}"


def _facts_of(model: RoutedModel) -> str:
    """JSON without its braces. Nothing in it has a quote, a dollar sign or a backslash of its own."""
    facts = {"object": "model", "created": 0, "owned_by": "pageindex-stack", "root": model.repo, "parent": None,
             "max_model_len": model.max_model_len, "task": model.task}  # fmt: skip
    return json.dumps(facts)[1:-1]


def _page(name: str, model: RoutedModel) -> str:
    """A model under one of its names, as OpenAI's API shows it."""
    return f'{{"id": "{name}", {_facts(model)}}}'


def replica_files(models: Sequence[RoutedModel]) -> dict[str, str]:
    """nginx's name for a model to the file that holds its replicas."""
    return {of_model(model.name): replicas_conf(model.name) for model in models}
