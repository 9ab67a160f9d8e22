"""`make up`: what is missing on this machine is added, the stack comes up, and one question is answered."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import lab.engine
import lab.hub
import lab.images
import toolchain
from quickstart import ports, pulumi, pulumi_state, python_env
from quickstart.console import StepFailed, duration, line
from quickstart.environment import environment
from quickstart.paths import REPOSITORY

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
    """Toolchain on one side, engine, images and hub on the other: a compiler and a downloader share two cores well."""
    with ThreadPoolExecutor(2) as pool:
        pulumi_there: Future[object] = pool.submit(toolchain.ensure)
        lab_there: Future[object] = pool.submit(provide_lab)
        failures = [part.exception() for part in (pulumi_there, lab_there)]
    for failure in failures:
        if failure is not None:
            raise failure


def provide_lab() -> None:
    """A daemon, the images and a model hub: the ones there are, else the lab's stand-ins."""
    daemon = lab.engine.ensure()
    lab.images.ensure(image_references(), daemon)
    lab.hub.ensure(daemon)


def image_references() -> list[str]:
    """The references behind IMAGE_SERVICES; the file is plain enough to be read without a YAML library."""
    lines = (REPOSITORY / "images.compose.yaml").read_text(encoding="utf-8").splitlines()
    found, service = {}, ""
    for text in lines:
        words = text.split("#")[0].split()
        if len(words) == 1 and words[0].endswith(":"):
            service = words[0][:-1]
        elif len(words) == 2 and words[0] == "image:":
            found[service] = words[1]
    return [found[service] for service in IMAGE_SERVICES]


def deploy() -> None:
    """`pulumi up`, without a preview: the program reports bad settings before it touches anything."""
    pulumi.select_or_create(STACK)
    # A stack that is there is compared with the host first, so that what was removed by hand comes back.
    compare = ["--refresh"] if pulumi.resource_count(STACK) else []
    pulumi.call("up", "--stack", STACK, "--yes", "--skip-preview", "--suppress-outputs", *compare)


def ask() -> None:
    """Ask in a process of its own: this one runs on the bare interpreter, without the dependencies."""
    command = [str(python_env.PROGRAM.python()), "-m", "quickstart.ask", "--stack", STACK, DOCUMENT, QUESTION]
    if subprocess.run(command, cwd=REPOSITORY, env=environment(), check=False).returncode != 0:
        raise StepFailed("the stack is up, but the question was not answered", "make up")


def show_what_is_there(took: dict[str, float]) -> None:
    """Addresses, where the key is, what took how long."""
    found = pulumi.outputs(STACK)
    line(f"  API       {found['api_url']}   (OpenAI-compatible, model `{found['model']['name']}`)")
    line(f"  PageIndex {found['app_url']}")
    line(f"  key       . ./env.sh && pulumi stack output -s {STACK} api_key --show-secrets")
    line(f"  isolation {found['checks']['isolation']['level']}")
    line("  took      " + ", ".join(f"{part} {duration(seconds)}" for part, seconds in took.items()))
    line(f"  next      make ask DOC={DOCUMENT} Q='Who was appointed harbour master?'   or   make down")


def _timed(took: dict[str, float], part: str, work: Callable[[], None]) -> None:
    started = time.monotonic()
    work()
    took[part] = time.monotonic() - started
