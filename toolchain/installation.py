"""Make sure that a Pulumi is there: the user's own, or ours, built once and renamed into place when it is complete."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from quickstart.console import Step, StepFailed, duration, line, step
from toolchain.existing import cache_folder, find_existing
from toolchain.parts import PARTS, Part

BUILDS_AT_ONCE = 2  # one part's link step, which uses one core, runs beside another's compilation
SPACE_NEEDED_MIB = 8 * 1024  # sources 3.8 GB, Go's build cache 2.7 GB, results 0.3 GB
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Toolchain:
    """``bin_dir`` holds `pulumi`. ``pulumi_home`` is None where the user's own Pulumi, and so their home, is used."""

    bin_dir: Path
    pulumi_home: Path | None

    @property
    def is_ours(self) -> bool:
        return self.pulumi_home is not None

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment, on top of ``bin_dir`` first on its PATH, to use this Pulumi."""
        if self.pulumi_home is None:
            return {}
        return {
            "PULUMI_HOME": str(self.pulumi_home),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            # Its plugins are all here, and where it was built there is no site to fetch others from.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        }


def ours() -> Toolchain:
    """Where our toolchain is once it is built."""
    cache = cache_folder()
    combined = "-".join(part.content_hash()[:8] for part in PARTS if not part.plugin)
    return Toolchain(cache / "toolchain" / f"bin-{combined}", cache / "pulumi-home")


def installed() -> Toolchain | None:
    """The user's own Pulumi, or ours if it is complete; None where `build` has work to do."""
    existing = find_existing()
    if existing is not None:
        return Toolchain(existing, None)
    toolchain = ours()
    return toolchain if _is_complete(toolchain) else None


def ensure() -> Toolchain:
    """Use the Pulumi that is there, or build it. Idempotent, and safe to run twice at once."""
    found = installed()
    if found is not None:
        with step("Pulumi") as current:
            current.result(f"{'built earlier' if found.is_ours else 'the one on PATH'}: {found.bin_dir}")
        return found
    toolchain = ours()
    with step("Build Pulumi and its plugins from Go modules") as current, _only_one_at_a_time(current):
        missing = [part for part in PARTS if not part.installed_in(_folder()).is_dir()]
        if missing:
            build_parts(missing, current)
        assemble(toolchain)
        current.result(f"built {len(missing)} of {len(PARTS)} parts" if missing else "put together from built parts")
    return toolchain


def build_parts(parts: list[Part], current: Step) -> None:
    """Fetch all parts' modules at once, and compile each as soon as its own are there."""
    from toolchain import golang

    go = golang.find_go()
    _require_space(_folder())
    for leftover in _folder().glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    progress = golang.Progress(current, parts)

    def fetch(part: Part, log: Path) -> None:
        arguments = ["list", "-deps", "-tags", part.tags, "-f", "{{with .Error}}{{.}}{{end}}", part.package]
        golang.run_go(go, arguments, part, progress, log, mend=golang.MODULES_UNREACHABLE)

    def compile_into(part: Part, folder: Path, log: Path) -> None:
        if part.script:
            source = golang.module_folder(go, part.script_module, part) / part.script
            shutil.copyfile(source, folder / source.name)
            (folder / source.name).chmod(0o755)
        output = str(folder / part.binary)
        golang.run_go(go, ["build", "-v", *part.build_flags(), "-o", output, part.package], part, progress, log)
        progress.complete(part)

    build_all(parts, fetch, compile_into)


def build_all(
    parts: list[Part],
    fetch: Callable[[Part, Path], None],
    compile_into: Callable[[Part, Path, Path], None],
) -> None:
    """Run the builds beside each other. After a failure what is under way is finished and kept, nothing new begins."""
    logs = _folder() / "logs"
    logs.mkdir(parents=True, exist_ok=True)

    def build(part: Part, fetched: Future[None], log: Path) -> None:
        fetched.result()
        started_at = time.monotonic()
        unfinished = _folder() / f"{UNFINISHED}{part.folder}-{os.getpid()}"
        unfinished.mkdir(parents=True)
        try:
            compile_into(part, unfinished, log)
            unfinished.rename(part.installed_in(_folder()))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        line(f"  {part.title}: compiled in {duration(time.monotonic() - started_at)}")

    with ThreadPoolExecutor(len(parts)) as fetchers, ThreadPoolExecutor(BUILDS_AT_ONCE) as builders:
        builds: list[Future[None]] = []
        for part in parts:
            log = logs / f"{part.folder}.log"
            log.unlink(missing_ok=True)
            builds.append(builders.submit(build, part, fetchers.submit(fetch, part, log), log))
        try:
            finished, unfinished_builds = wait(builds, return_when=FIRST_EXCEPTION)
        except BaseException:
            fetchers.shutdown(wait=False, cancel_futures=True)
            builders.shutdown(wait=False, cancel_futures=True)
            raise
        for pending in unfinished_builds:
            pending.cancel()
        for done in finished:
            done.result()


def assemble(toolchain: Toolchain) -> None:
    """Lay the programs where the shell and the engine look for them; each appears whole or not at all."""
    if toolchain.pulumi_home is None:
        raise AssertionError("only our own toolchain is put together")
    unfinished = _folder() / f"{UNFINISHED}bin-{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for part in PARTS:
        built = part.installed_in(_folder())
        if part.plugin:
            _replace_with_link(built / part.binary, _plugin_path(toolchain.pulumi_home, part))
        else:
            for program in built.iterdir():
                os.link(program, unfinished / program.name)
    if not toolchain.bin_dir.exists():
        unfinished.rename(toolchain.bin_dir)
    shutil.rmtree(unfinished, ignore_errors=True)


def clean() -> None:
    """Remove all that was built. Go's own caches are the user's: `go clean -cache -modcache` empties them."""
    cache = cache_folder()
    for folder in (cache / "toolchain", cache / "pulumi-home"):
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    return cache_folder() / "toolchain"


def _plugin_path(pulumi_home: Path, part: Part) -> Path:
    return pulumi_home / "plugins" / f"resource-{part.plugin}-v{part.version}" / part.binary


def _is_complete(toolchain: Toolchain) -> bool:
    if toolchain.pulumi_home is None or not (toolchain.bin_dir / "pulumi").exists():
        return False
    for part in (part for part in PARTS if part.plugin):
        plugin, built = _plugin_path(toolchain.pulumi_home, part), part.installed_in(_folder()) / part.binary
        # The same version may have been built from other sources: the plugin has to be this very file.
        if not (plugin.exists() and built.exists() and plugin.samefile(built)):
            return False
    return True


def _replace_with_link(target: Path, at: Path) -> None:
    """A hard link: the engine doesn't take symbolic ones for a plugin's folder, and a copy would cost 84 MB."""
    at.parent.mkdir(parents=True, exist_ok=True)
    beside = at.with_name(f".{at.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    os.link(target, beside)
    beside.replace(at)
    beside.unlink(missing_ok=True)  # replacing a file by another link to itself leaves both names


def _require_space(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < SPACE_NEEDED_MIB:
        raise StepFailed(
            f"building Pulumi needs {SPACE_NEEDED_MIB // 1024} GiB of disk, and {folder} has {free_mib / 1024:.1f} GiB",
            mend="free some space, or point PAGEINDEX_STACK_CACHE at a larger disk: export PAGEINDEX_STACK_CACHE=…",
        )


@contextlib.contextmanager
def _only_one_at_a_time(current: Step) -> Iterator[None]:
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise StepFailed(
            f"{folder} can't be written: {error.strerror}",
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
