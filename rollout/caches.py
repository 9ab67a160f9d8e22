"""Before a replica starts: the volume of what it compiled is code that it will run, so nobody else may have written it.

A volume that Docker has just made is empty and root's; it becomes the replica's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host_access.docker_host import DockerHost
from host_access.outcome import CheckFailed
from planning.services.compile_caches import CACHES_PATH

NEW = "new"
# As vLLM's own user: what it can't read is not its own either. Modes below do not matter where nobody else gets in.
_LOOK = f"""
set -eu
if [ "$(stat -c %u "$0")" = 0 ] && inside=$(ls -A "$0") && [ -z "$inside" ]; then echo {NEW}; exit; fi
find "$0" '(' ! -user "$(id -u)" -o -path "$0" -perm /022 ')' -printf '%p belongs to user %U and has mode %m' -quit
"""


def own_caches(host: DockerHost, container: Mapping[str, Any]) -> None:
    """Make a new volume its user's. CheckFailed if somebody else owns or may write what is in it."""
    volume = next((each["Name"] for each in container["Mounts"] if each["Destination"] == CACHES_PATH), None)
    if volume is None:  # of a generation that kept nothing
        return
    image, user = container["Image"], container["Config"]["User"]
    mounts = {volume: CACHES_PATH}
    looked = host.run_once(image, ["sh", "-c", _LOOK, CACHES_PATH], user=user, volumes=mounts)
    if looked.returncode == 0 and looked.stdout.strip() == NEW:
        looked = host.run_once(image, ["sh", "-c", _give(user)], user="0:0", volumes=mounts, capability="CHOWN")
    found = (looked.stdout.strip() or looked.stderr.strip())[-400:]
    if looked.returncode != 0 or found:
        raise CheckFailed(
            expected=f"volume {volume}, which holds code, to belong to user {user} and to be writable by nobody else",
            got=found or f"exit code {looked.returncode}",
            do=f"{_emptied(volume, image, user)}   # empties it; then `pulumi up` again",
        )


def _give(user: str) -> str:
    """Root has no capability but CHOWN: the mode is set while the directory is still its own."""
    return f"chmod 0700 {CACHES_PATH} && chown {user} {CACHES_PATH}"


def _emptied(volume: str, image: str, user: str) -> str:
    script = f"find {CACHES_PATH} -mindepth 1 -delete; chown 0:0 {CACHES_PATH}; {_give(user)}"
    return f"docker run --rm --network none --user 0:0 -v {volume}:{CACHES_PATH} --entrypoint sh {image} -c '{script}'"
