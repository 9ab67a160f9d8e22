"""Build what is missing and put it where shell and engine look for it; each piece appears whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from machine.console import Step, StepFailed, duration, line, step
from toolchain import golang
from toolchain.installation import Toolchain, folder, installed, ours, plugin_path
from toolchain.parts import PARTS, Part

BUILDS_AT_ONCE = 2  # one part's link step, which uses one core, runs beside another's compilation
SPACE_NEEDED_MIB = 8 * 1024  # sources 2.3 GB, Go's build cache 2.3 GB, temporary files while linking, results 0.3 GB
UNFINISHED = ".unfinished-"


def ensure() -> Toolchain:
    """Use the Pulumi that is there, or build it. Idempotent, and safe to run twice at once."""
    found = installed()
    if found is not None:
        with step("Pulumi") as current:
            current.result(f"{'built earlier' if found.is_ours else 'the one on PATH'}: {found.bin_dir}")
        return found
    toolchain = ours()
    with step("Build Pulumi and its plugins from Go modules") as current, _only_one_at_a_time(current):
        missing = [part for part in PARTS if not part.installed_in(folder()).is_dir()]
        if missing:
            build_parts(missing, current)
        assemble(toolchain)
        current.result(f"built {len(missing)} of {len(PARTS)} parts" if missing else "put together from built parts")
    return toolchain


def ensure_part(part: Part) -> Path:
    """The folder with a part that not everybody needs, built if it is missing. It goes onto PATH for who runs it."""
    there = part.installed_in(folder())
    if not there.is_dir():
        with step(f"Build the {part.title} from Go modules") as current, _only_one_at_a_time(current):
            if not there.is_dir():
                build_parts([part], current)
    return there


def build_parts(parts: list[Part], current: Step) -> None:
    """Fetch all parts' modules at once, and compile each as soon as its own are there."""
    go = golang.find_go()
    _require_space()
    progress = golang.Progress(current, parts)

    def fetch(part: Part, log: Path) -> None:
        arguments = ["list", "-deps", "-tags", part.tags, "-f", "{{with .Error}}{{.}}{{end}}", part.package]
        golang.run_go(go, arguments, part, progress, log, mend=golang.MODULES_UNREACHABLE)

    def compile_into(part: Part, into: Path, log: Path) -> None:
        if part.script:
            source = golang.module_folder(go, part.script_module, part) / part.script
            shutil.copyfile(source, into / source.name)
            (into / source.name).chmod(0o755)
        output = str(into / part.binary)
        golang.run_go(go, ["build", "-v", *part.build_flags(), "-o", output, part.package], part, progress, log)
        progress.complete(part)

    build_all(parts, fetch, compile_into)


def build_all(
    parts: list[Part],
    fetch: Callable[[Part, Path], None],
    compile_into: Callable[[Part, Path, Path], None],
) -> None:
    """Run the builds beside each other. After a failure what is under way is finished and kept, nothing new begins."""
    for leftover in folder().glob(f"{UNFINISHED}*"):  # of a build that was killed: only one runs at a time
        shutil.rmtree(leftover, ignore_errors=True)
    logs = folder() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    compiling = threading.Semaphore(BUILDS_AT_ONCE)
    failed = threading.Event()

    def build(part: Part) -> None:
        log = logs / f"{part.folder}.log"
        log.unlink(missing_ok=True)
        try:
            fetch(part, log)
            with compiling:
                if not failed.is_set():
                    compile_and_keep(part, log)
        except BaseException:
            failed.set()
            raise

    def compile_and_keep(part: Part, log: Path) -> None:
        started_at = time.monotonic()
        unfinished = folder() / f"{UNFINISHED}{part.folder}-{os.getpid()}"
        unfinished.mkdir(parents=True)
        try:
            compile_into(part, unfinished, log)
            unfinished.rename(part.installed_in(folder()))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        line(f"  {part.title}: compiled in {duration(time.monotonic() - started_at)}")

    with ThreadPoolExecutor(len(parts)) as pool:
        builds = [pool.submit(build, part) for part in parts]
        try:
            wait(builds)
        except BaseException:
            failed.set()
            raise
    for done in builds:
        done.result()


def assemble(toolchain: Toolchain) -> None:
    """Lay the programs where the shell and the engine look for them; each appears whole or not at all."""
    if toolchain.pulumi_home is None:
        raise AssertionError("only our own toolchain is put together")
    unfinished = folder() / f"{UNFINISHED}bin-{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for part in PARTS:
        built = part.installed_in(folder())
        if part.plugin:
            _replace_with_link(built / part.binary, plugin_path(toolchain.pulumi_home, part))
        else:
            for program in built.iterdir():
                os.link(program, unfinished / program.name)
    if not toolchain.bin_dir.exists():
        unfinished.rename(toolchain.bin_dir)
    shutil.rmtree(unfinished, ignore_errors=True)


def _replace_with_link(target: Path, at: Path) -> None:
    """A hard link: it costs nothing, is swapped in one step, and shows by itself whether it is the file wanted."""
    at.parent.mkdir(parents=True, exist_ok=True)
    beside = at.with_name(f".{at.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    os.link(target, beside)
    beside.replace(at)
    beside.unlink(missing_ok=True)  # replacing a file by another link to itself leaves both names


def _require_space() -> None:
    free_mib = shutil.disk_usage(folder()).free // 2**20
    needed_gib = SPACE_NEEDED_MIB // 1024
    if free_mib < SPACE_NEEDED_MIB:
        raise StepFailed(
            f"building Pulumi needs {needed_gib} GiB of disk, and {folder()} has {free_mib / 1024:.1f} GiB",
            mend="free some space, or point PAGEINDEX_STACK_CACHE at a larger disk: export PAGEINDEX_STACK_CACHE=…",
        )


@contextlib.contextmanager
def _only_one_at_a_time(current: Step) -> Iterator[None]:
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = os.open(folder() / ".lock", os.O_CREAT | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise StepFailed(
            f"{folder()} can't be written: {error.strerror}",
            mend="export PAGEINDEX_STACK_CACHE=… with a folder that you may write to",
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            current.say("another build is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
