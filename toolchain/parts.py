"""What is built, from which pinned source, and the name that its content gives it in the cache."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

CLI_VERSION = "3.259.0"
# The last host that is part of the SDK's own Go module; the newer ones are a module that isn't published to proxies.
LANGUAGE_HOST_VERSION = "3.79.0"
YAML_HOST_VERSION = "1.25.0"
# The plugins carry the versions of the Python packages that talk to them.
DOCKER_VERSION = "5.2.0"
COMMAND_VERSION = "1.2.1"

_SDK_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One Go program. ``packages`` is about how many Go packages it is made of: the length of its progress bar."""

    name: str
    version: str
    folder: str
    package: str
    binary: str
    version_variable: str
    packages: int
    tags: str = ""
    plugin: str = ""  # the name that the engine asks for it by
    script_module: str = ""  # a module, and a file in it, to lay beside the program
    script: str = ""

    @property
    def source(self) -> Path:
        return HERE / self.folder

    @property
    def title(self) -> str:
        return f"{self.name} {self.version.removeprefix('v')}"

    def build_flags(self) -> list[str]:
        """The same for every package of every part, so that they find each other's in Go's build cache."""
        # The linker drops debug information (-s -w), so the compiler needn't make it: a tenth of its work.
        without_debugging = "-gcflags=all=-dwarf=false"
        link = f"-s -w -X {self.version_variable}={self.version}"
        return ["-trimpath", without_debugging, "-tags", self.tags, "-ldflags", link]

    def content_hash(self) -> str:
        """Changes with everything that could change the program; tests are not part of it."""
        digest = hashlib.sha256()
        recipe = [self.package, self.binary, *self.build_flags(), self.script_module, self.script]
        digest.update("\0".join([*recipe, platform.system(), platform.machine()]).encode())
        for path in sorted(self.source.rglob("*")):
            if path.is_file() and not path.name.endswith(("_test.go", ".md")) and "testdata" not in path.parts:
                digest.update(f"\0{path.relative_to(self.source)}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def installed_in(self, toolchain_cache: Path) -> Path:
        return toolchain_cache / f"{self.folder}-{self.content_hash()}"


# Longest first: the CLI decides how long all of it takes.
PARTS = (
    Part(
        name="Pulumi CLI",
        version=f"v{CLI_VERSION}",
        folder="cli",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        binary="pulumi",
        version_variable=_SDK_VERSION_VARIABLE,
        packages=1686,
    ),
    Part(
        name="docker plugin",
        version=DOCKER_VERSION,
        folder="docker_plugin",
        package=".",
        binary="pulumi-resource-docker",
        version_variable="main.version",
        packages=1597,
        # docker_compose is no resource of the Python package, and Compose is a quarter of the dependencies.
        tags="no_compose",
        plugin="docker",
    ),
    Part(
        name="command plugin",
        version=COMMAND_VERSION,
        folder="command_plugin",
        package=".",
        binary="pulumi-resource-command",
        version_variable="main.version",
        packages=767,
        plugin="command",
    ),
    Part(
        name="Python language host",
        version=f"v{LANGUAGE_HOST_VERSION}",
        folder="language_host",
        package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
        binary="pulumi-language-python",
        version_variable=_SDK_VERSION_VARIABLE,
        packages=534,
        script_module=f"github.com/pulumi/pulumi/sdk/v3@v{CLI_VERSION}",
        script="python/cmd/pulumi-language-python-exec",
    ),
)

# For programs in YAML alone, so that only who runs one builds it.
YAML_HOST = Part(
    name="YAML language host",
    version=f"v{YAML_HOST_VERSION}",
    folder="yaml_host",
    package="github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml",
    binary="pulumi-language-yaml",
    version_variable="github.com/pulumi/pulumi-yaml/pkg/version.Version",
    packages=130,  # beside those that it shares with the others
)
