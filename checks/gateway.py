"""The gateway's files: would nginx take them, asked before they replace the old ones; and then, that it does."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping
from typing import Any

from checks.facts import GatewayFilesFacts, GatewayReloadFacts
from host_access.commands import commands_on
from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from planning.gateway.config import METRICS_DIR, NGINX_CONF, USER
from planning.gateway.replicas import STATE_DIR
from planning.hosts.names import FILES_PATH

TRY_TIMEOUT_S = 120  # the first container of an image takes its time on a busy host
APPLY = ("sh", f"{FILES_PATH}/apply.sh")
# Files come by standard input, so that keys stand in no command line and on no disk.
TRY = (
    f"base64 -d | tar -xf - -C {FILES_PATH} && cp {FILES_PATH}/replicas*.conf {FILES_PATH}/outage*.conf {STATE_DIR}/"
    f" && nginx -t -q -e stderr -c {FILES_PATH}/{NGINX_CONF}"
)


def gateway_files(facts: GatewayFilesFacts) -> dict[str, Any]:
    """nginx reads ``files`` in a container of its own, of the gateway's ``image``; what runs is not touched."""
    done = commands_on(facts.get("docker_host")).run(
        [
            "docker", "run", "--rm", "--interactive", "--network", "none", "--read-only", "--user", USER,
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m", "--log-driver", "none",
            *(part for path in (FILES_PATH, STATE_DIR, METRICS_DIR, "/tmp")  # noqa: S108 (of that container)
              for part in ("--tmpfs", f"{path}:mode=1777")),
            "--entrypoint", "sh", facts["image"], "-c", TRY,
        ],
        text=_packed(facts["files"]),
        timeout_s=TRY_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise CheckFailed(
            expected="nginx to take the gateway's new configuration",
            got=done.stderr.strip()[-800:] or f"exit code {done.returncode}",
            do="mend what it names, a certificate and its key for example; until then the gateway runs on as it is",
        )
    return {"check": "gateway-files", "ok": True, "seen": ["nginx takes the configuration"]}


def gateway_reload(facts: GatewayReloadFacts) -> dict[str, Any]:
    """The running gateway takes up files that have changed, without dropping a request."""
    name = facts["container"]
    done = commands_on(facts.get("docker_host")).run(
        ["docker", "exec", name, *APPLY], timeout_s=TRY_TIMEOUT_S
    )  # fmt: skip
    if done.returncode != 0:
        raise CheckFailed(
            expected="the gateway to take up its changed files",
            got=done.stderr.strip()[-800:] or f"exit code {done.returncode}",
            do=f"see docker logs {name}; it runs on with what it had",
            container=name,
            log=DockerHost(facts.get("docker_host")).last_log_lines(name),
        )
    return {"check": "gateway-reload", "ok": True, "seen": ["new workers serve, old ones finish their requests"]}


def _packed(files: Mapping[str, str]) -> str:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o444
            tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(out.getvalue()).decode()
