"""`make up`: what is missing on this machine is added, the stack comes up, and one question is answered."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import lab.engine
import lab.hub
import lab.images
import toolchain
from machine import python_env
from machine.console import StepFailed, duration, line, stop_children
from machine.paths import REPOSITORY
from planning.hosts.images import image_names
from quickstart import ports, pulumi, pulumi_state
from quickstart.environment import environment
from quickstart.update import update

STACK = "dev"
DOCUMENT = "samples/harbour-report-2025.pdf"
QUESTION = "How deep is the approach channel at lowest tide?"
IMAGE_SERVICES = ("python", "nginx", "vllm-cpu")  # of images.compose.yaml: what `dev` runs and builds from


def up() -> int:
    """Bring up stack dev; a second call changes nothing. Each part that is there already is used as it is."""
    took: dict[str, float] = {}
    _timed(took, "python environment", python_env.PROGRAM.ensure)
    _timed(took, "tools and lab", provide)
    _timed(took, "state", pulumi_state.ensure)
    ports.require_free(STACK)
    _timed(took, "pulumi up", deploy)
    _timed(took, "question", ask)
    show_what_is_there(took)
    return 0


def provide() -> None:
    """A daemon first, which fails early where it must; then the toolchain on one side, images and hub on the other.

    A compiler and a downloader share two cores well.
    """
    daemon = lab.engine.ensure()
    with ThreadPoolExecutor(2) as pool:
        parts: list[Future[object]] = [pool.submit(toolchain.ensure), pool.submit(provide_images_and_hub, daemon)]
        ended, _ = wait(parts, return_when=FIRST_EXCEPTION)
        failures = [failure for part in ended if (failure := part.exception())]
        if failures:
            stop_children()
            raise failures[0]


def provide_images_and_hub(daemon: str) -> None:
    """The images and the hub there are, else the lab's stand-ins."""
    lab.images.ensure([image_names()[service] for service in IMAGE_SERVICES], daemon)
    lab.hub.ensure(daemon)


def deploy() -> None:
    """`pulumi up`, without a preview: the program reports bad settings before it touches anything."""
    pulumi.select_or_create(STACK)
    # A stack that is there is compared with the host first, so that what was stopped or removed by hand comes back.
    compare = ["--refresh"] if pulumi.resource_count(STACK) else []
    update(STACK, *compare)


def ask() -> None:
    """Ask in a process of its own: this one runs on the bare interpreter, without the dependencies."""
    command = [str(python_env.PROGRAM.python()), "-m", "operate.ask", "--stack", STACK, DOCUMENT, QUESTION]
    if subprocess.run(command, cwd=REPOSITORY, env=environment(), check=False).returncode != 0:
        raise StepFailed("the stack is up, but the question was not answered", "make up")


def show_what_is_there(took: dict[str, float]) -> None:
    """Addresses, where the key is, what took how long."""
    found = pulumi.outputs(STACK)
    line(f"  API       {found['api_url']}   (OpenAI-compatible, model `{found['model']['name']}`)")
    line(f"  PageIndex {found['app_url']}")
    line(f"  key       . ./env.sh && pulumi stack output -s {STACK} api_key --show-secrets")
    if found.get("tls_fingerprint"):
        line(f"  TLS       SHA-256 {found['tls_fingerprint']}")
    line(f"  isolation {found['checks']['isolation']['level']}")
    line("  took      " + ", ".join(f"{part} {duration(seconds)}" for part, seconds in took.items()))
    line(f"  next      make ask DOC={DOCUMENT} Q='Who was appointed harbour master?'   or   make down")


def _timed(took: dict[str, float], part: str, work: Callable[[], None]) -> None:
    started = time.monotonic()
    work()
    took[part] = time.monotonic() - started
