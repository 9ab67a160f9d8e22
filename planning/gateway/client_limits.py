"""How many requests a client may make, in a minute and at once, as nginx's zones. Pure.

nginx's limits are constants of a zone, so clients are grouped by limit, one zone for each. nginx counts a request once,
at the first place that has limits. As a rule that is before its body is read. Clients with limits for single models are
counted when the body has said which model is meant; how many of their requests run at once is looked at before, too.
"""

from __future__ import annotations

from planning.gateway.config import GatewayConfig
from planning.settings.gateway import seconds_between


def client_limits(config: GatewayConfig) -> list[str]:
    """Limits by client, whichever model is asked."""
    default = config.default_limits
    lines = ["map $client $client_retry_after {", f"    default {default.retry_after_s};"]
    lines += [f"    {_of_client(name)} {limits.retry_after_s};" for name, limits in config.clients.items()
              if limits.retry_after_s != default.retry_after_s]  # fmt: skip
    lines += ["}"]
    for field, group in (("requests_per_minute", "requests"), ("parallel_requests", "parallel")):
        for value, names in _by_limit(config, field).items():
            zone = f"{group}_{value}"
            lines += [f"map $client ${zone} {{"]
            if value == getattr(default, field):
                others = [name for name, limits in config.clients.items() if getattr(limits, field) != value]
                lines += ["    default $client;", *(f'    {_of_client(name)} "";' for name in others)]
            else:
                lines += ['    default "";', *(f"    {_of_client(name)} {name};" for name in names)]
            lines += ["}"]
            if group == "requests":
                lines += [_zone(zone, value), _limit(zone, value)]
            else:
                lines += [f"limit_conn_zone ${zone} zone={zone}:256k;", f"limit_conn {zone} {value};"]
    return lines


def limited_by_model(config: GatewayConfig) -> list[str]:
    """Clients with a limit for a single model."""
    return [name for name, limits in config.clients.items() if limits.model_requests_per_minute and config.routed]


def model_limits(config: GatewayConfig) -> list[str]:
    """Limits by client and model; nothing where no client has one."""
    if not (clients := limited_by_model(config)):
        return []
    lines = ["map $client $way {", '    default "";', *(f"    {_of_client(name)} -counted;" for name in clients), "}"]
    lines += ['map "" $uncounted { default ""; }', "limit_req_zone $uncounted zone=uncounted:32k rate=1r/s;"]
    lines += ['map "$client $target" $model_retry_after {', "    default $client_retry_after;"]
    pairs = [(name, *each) for name in clients for each in config.clients[name].model_requests_per_minute.items()]
    lines += [f'    "{name} {model}" {seconds_between(rate)};' for name, model, rate in pairs]
    lines += ["}"]
    for rate in _model_rates(config):
        zone = f"model_requests_{rate}"
        lines += [f'map "$client $target" ${zone} {{', '    default "";']
        lines += [f'    "{name} {model}" "{name} {model}";' for name, model, its in pairs if its == rate]
        lines += ["}", _zone(zone, rate)]
    return lines


def counted_limits(config: GatewayConfig) -> list[str]:
    """What counts the requests of those clients: theirs of all models, and theirs of one."""
    lines = [_limit(f"requests_{value}", value) for value in _by_limit(config, "requests_per_minute")]
    return [*lines, *(_limit(f"model_requests_{rate}", rate) for rate in _model_rates(config))]


def _model_rates(config: GatewayConfig) -> list[int]:
    each = (limits.model_requests_per_minute.values() for limits in config.clients.values())
    return list(dict.fromkeys(rate for rates in each for rate in rates))


def _by_limit(config: GatewayConfig, field: str) -> dict[int, list[str]]:
    """Each limit that is in use to its clients, the default first: whoever is not named has that."""
    found: dict[int, list[str]] = {getattr(config.default_limits, field): []}
    for name, limits in config.clients.items():
        found.setdefault(getattr(limits, field), []).append(name)
    return found


def _zone(zone: str, rate: int) -> str:
    return f"limit_req_zone ${zone} zone={zone}:256k rate={rate}r/m;"


def _limit(zone: str, rate: int) -> str:
    """A minute's share may come all at once."""
    return f"limit_req zone={zone} burst={rate - 1} nodelay;" if rate > 1 else f"limit_req zone={zone} nodelay;"


def _of_client(name: str) -> str:
    """A map's key. A backslash makes a mere name of a word that is nginx's own there."""
    return rf"\{name}" if name in ("default", "hostnames", "include", "volatile") else name
