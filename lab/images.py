"""Images under their official names: present ones are used, pullable ones pulled, for the rest a stand-in is made."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import paths, recipes, registry
from lab.recipes import LABEL, Recipe
from machine import debian
from machine.console import Step, StepFailed, run, step

FIRST_WORD_BUDGET_S = 20.0  # a registry that says nothing for so long is taken as out of reach
SILENCE_BUDGET_S = 300.0  # a layer of several GB unpacks without a word
_refused: set[str] = set()  # asked once in this run; a refusal is final


def ensure(names: Iterable[str], docker_host: str) -> None:
    """Make every image of ``names`` present in the engine at ``docker_host``."""
    missing = [name for name in dict.fromkeys(names) if not is_current(name, docker_host)]
    if not missing:
        return
    # Two at a time: one is mostly downloading while the other is mostly unpacking.
    with ThreadPoolExecutor(max_workers=2) as pool:
        for ending in [pool.submit(_ensure_one, name, docker_host) for name in missing]:
            ending.result()


def _ensure_one(name: str, docker_host: str) -> None:
    with _alone(name):
        if is_current(name, docker_host) or (not recipes.for_gpu(name) and _pulled(name, docker_host)):
            return
        recipe = recipes.find(name)
        if recipe.base:
            _ensure_one(recipe.base, docker_host)
        outdated = _inspect(name, "{{.Id}}", docker_host)
        with step(f"Stand-in for the image {name}") as current:
            debian.require_space(paths.STATE, recipe.disk_mib, f"the stand-in for {name}")
            (_build if recipe.base else _import)(name, recipe, docker_host, current)
            if recipe.through_registry and docker_host == paths.ENGINE_HOST:
                _send_through_registry(name, docker_host, current)
            if outdated is not None:  # stays only as long as a container still uses it
                subprocess.run([*_docker(docker_host), "image", "rm", outdated], capture_output=True, check=False)
            current.result(f"made, {size_mib(name, docker_host)} MiB")


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """One maker an image, among threads (the base of one image may be wanted too) and among processes."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    with (paths.cache() / f"image-{re.sub(r'[^a-z0-9.]+', '-', name)}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _docker(docker_host: str) -> list[str]:
    return ["docker", "--host", docker_host]


def _inspect(name: str, template: str, docker_host: str) -> str | None:
    command = [*_docker(docker_host), "image", "inspect", "--format", template, name]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None


def is_current(name: str, docker_host: str) -> bool:
    """Present, and if it is a stand-in, made by the recipe as it is now."""
    made_by = _inspect(name, f'{{{{index .Config.Labels "{LABEL}"}}}}', docker_host)
    if made_by is None:
        return False
    return made_by == "" or made_by == recipes.find(name).fingerprint()


def size_mib(name: str, docker_host: str) -> int:
    return int(_inspect(name, "{{.Size}}", docker_host) or 0) // 2**20


def _pulled(name: str, docker_host: str) -> bool:
    """Try to pull once. True when the image is here afterwards, and current in case it is a stand-in."""
    if name in _refused:
        return False
    with step(f"Pull the image {name}") as current:
        refusal = _pull(name, docker_host, current)
        if refusal is None and not is_current(name, docker_host):
            refusal = "the lab's registry has an outdated stand-in"
        if refusal is None:
            current.result(f"{size_mib(name, docker_host)} MiB")
        else:
            current.without_result(f"not possible ({refusal[:160]}), a stand-in takes its place")
    if refusal is not None:
        _refused.add(name)
    return refusal is None


def _pull(name: str, docker_host: str, current: Step) -> str | None:
    """`docker pull`, for as long as it says something. None, or why it failed."""
    command = [*_docker(docker_host), "pull", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        if process.stdout is not None:
            for text in process.stdout:
                said.put(text.strip())
        said.put(None)

    threading.Thread(target=listen, daemon=True).start()
    last, layers, complete, patience_s = "", set(), set(), FIRST_WORD_BUDGET_S
    try:
        while (text := said.get(timeout=patience_s)) is not None:
            last, patience_s = text or last, SILENCE_BUDGET_S
            layer, _, state = text.partition(": ")
            if state == "Pulling fs layer":
                layers.add(layer)
            elif state == "Pull complete":
                complete.add(layer)
            if layers:
                current.progress(len(complete), len(layers), "layers")
    except queue.Empty:
        process.kill()
        last = f"no word from its registry for {patience_s:.0f} s"
    finally:
        code = process.wait()
    return None if code == 0 else last.removeprefix("Error response from daemon: ")


def _log(recipe: Recipe) -> Path:
    return paths.cache() / f"image-{recipe.directory}.log"


def _import(name: str, recipe: Recipe, docker_host: str, current: Step) -> None:
    """From Debian's packages alone."""
    debian.require_root(f"making a stand-in for {name}")
    fingerprint = recipe.fingerprint()
    tarball = paths.cache() / f"{recipe.directory}-{fingerprint}.tar"
    tarball.parent.mkdir(parents=True, exist_ok=True)
    hooks = [f'{recipe.path / "setup.sh"} "$1"', *debian.certificate_hooks()]
    try:
        debian.make_root(recipe.suite, recipe.packages, tarball, current, _log(recipe), hooks)
        changes = [f"--change={line}" for line in (*recipe.changes(), f"LABEL {LABEL}={fingerprint}")]
        current.say("importing into the engine")
        run([*_docker(docker_host), "import", *changes, tarball, name], current, log=_log(recipe))
    finally:
        tarball.unlink(missing_ok=True)


def _build(name: str, recipe: Recipe, docker_host: str, current: Step) -> None:
    """By a Dockerfile, on another image."""
    command = [*_docker(docker_host), "build", "--force-rm", "--tag", name, "--build-arg", f"BASE={recipe.base}"]
    command += ["--label", f"{LABEL}={recipe.fingerprint()}"]
    for setting in ("PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        if os.environ.get(setting):
            command += ["--build-arg", setting]
    # Debian's docker command has no buildx; the engine's classic builder is enough for one stage.
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}
    run([*command, str(recipe.path)], current, log=_log(recipe), env=environment)


def _send_through_registry(name: str, docker_host: str, current: Step) -> None:
    """Push, forget, pull: what the engine ends up with came by the way that a real image comes."""
    registry.ensure()
    repository = name if "/" in name.partition(":")[0] else f"library/{name}"
    pushed = f"{paths.REGISTRY}/{repository}"
    docker, log = _docker(docker_host), _log(recipes.find(name))
    run([*docker, "tag", name, pushed], current, log=log)
    run([*docker, "push", pushed], current, log=log)
    run([*docker, "image", "rm", pushed, name], current, log=log)
    run([*docker, "pull", name], current, log=log)


def copy(names: Iterable[str], source: str, target: str) -> None:
    """Into another engine, layer by layer, without a registry between them."""
    wanted = [name for name in names if not is_current(name, target)]
    if not wanted:
        return
    with step(f"Copy {', '.join(wanted)}") as current:
        current.say(f"{sum(size_mib(name, source) for name in wanted)} MiB from one engine into the other")
        with subprocess.Popen([*_docker(source), "save", *wanted], stdout=subprocess.PIPE) as saving:
            loading = [*_docker(target), "load", "--quiet"]
            loaded = subprocess.run(loading, stdin=saving.stdout, capture_output=True, text=True, check=False)
            if saving.stdout is not None:
                saving.stdout.close()  # or a failed load would leave the other one waiting for it
        if loaded.returncode != 0 or saving.returncode != 0:
            raise StepFailed(f"copying images from {source} to {target} failed: {loaded.stderr.strip()[-300:]}")


def clean(docker_host: str) -> None:
    """Remove every stand-in from an engine that is not the lab's own (that one goes as a whole)."""
    if shutil.which("docker") is None:
        return
    listing = ["image", "ls", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(
        [*_docker(docker_host), *listing], capture_output=True, text=True, check=False
    ).stdout.split()
    for name in listed:
        subprocess.run([*_docker(docker_host), "image", "rm", name], capture_output=True, check=False)
