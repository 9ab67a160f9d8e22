"""Which Pulumi is used, and where. Every new shell asks, so nothing heavy is imported here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from machine.paths import cache
from toolchain.existing import find_existing
from toolchain.parts import PARTS, Part


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
    kept = cache()
    combined = "-".join(part.content_hash()[:8] for part in PARTS if not part.plugin)
    return Toolchain(kept / "toolchain" / f"bin-{combined}", kept / "pulumi-home")


def installed() -> Toolchain | None:
    """The user's own Pulumi, or ours if it is complete; None where `build` has work to do."""
    existing = find_existing()
    if existing is not None:
        return Toolchain(existing, None)
    toolchain = ours()
    return toolchain if _is_complete(toolchain) else None


def clean() -> None:
    """Remove all that was built. Go's own caches are the user's: `go clean -cache -modcache` empties them."""
    kept = cache()
    for made in (kept / "toolchain", kept / "pulumi-home"):
        shutil.rmtree(made, ignore_errors=True)


def folder() -> Path:
    """Holds a folder for each built part, one with links to what belongs on PATH, and the builds' logs."""
    return cache() / "toolchain"


def plugin_path(pulumi_home: Path, part: Part) -> Path:
    """Where the engine looks for a plugin."""
    return pulumi_home / "plugins" / f"resource-{part.plugin}-v{part.version}" / part.binary


def _is_complete(toolchain: Toolchain) -> bool:
    if toolchain.pulumi_home is None or not (toolchain.bin_dir / "pulumi").exists():
        return False
    for part in (part for part in PARTS if part.plugin):
        plugin, built = plugin_path(toolchain.pulumi_home, part), part.installed_in(folder()) / part.binary
        # The same version may have been built from other sources: the plugin has to be this very file.
        if not (plugin.exists() and built.exists() and plugin.samefile(built)):
            return False
    return True
