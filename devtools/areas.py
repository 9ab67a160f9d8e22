"""Areas of the project: what proves each, and which files it is made of. `make test A=gateway` runs one."""

from __future__ import annotations

from dataclasses import dataclass

UNIT, INTEGRATION = "tests/unit", "tests/integration"
APP_UNIT_TESTS = f"{UNIT}/pageindex_app"


@dataclass(frozen=True, kw_only=True)
class Area:
    """``sources`` are the beginnings of paths whose change touches the area, its tests aside."""

    name: str
    proves: str
    unit: tuple[str, ...] = ()
    integration: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def tests(self) -> tuple[str, ...]:
        return self.unit + self.integration

    def touched_by(self, file: str) -> bool:
        """Whether a change of ``file`` can change what the area's tests say."""
        return file.startswith((*self.sources, *self.tests))


def _unit(*names: str) -> tuple[str, ...]:
    return tuple(f"{UNIT}/{name}" for name in names)


def _integration(*names: str) -> tuple[str, ...]:
    return tuple(f"{INTEGRATION}/{name}" for name in names)


AREAS = (
    Area(
        name="planning",
        proves="every bad stack file is refused with a line that mends it; memory plans agree with published runs",
        unit=(*_unit("planning"), f"{UNIT}/test_architecture.py"),
        integration=_integration("test_mending_lines.py"),
        sources=("planning/", "Pulumi.", "stack_file.py", "images.compose.yaml"),
    ),
    Area(
        name="program",
        proves="what every stack registers: ports, users, networks, secrets, order",
        unit=_unit("components"),
        integration=_integration("test_example.py", "test_pull_request_preview.py"),
        sources=("planning/", "components/", "__main__.py", "wiring/", "examples/", ".ci/preview"),
    ),
    Area(
        name="gateway",
        proves="hostile requests go no further, limits and keys hold, changes drop no request, replicas are balanced",
        unit=_unit("gateway"),
        integration=_integration("test_gateway_"),
        sources=("services/gateway/", "planning/gateway/", "planning/services/gateway", "checks/gateway.py",
                 "components/gateway", "components/certificate.py", f"{INTEGRATION}/gateway_"),
    ),
    Area(
        name="weights",
        proves="weights are fetched, verified and kept; damaged ones are refused",
        unit=_unit("downloader"),
        integration=_integration("test_downloader_container.py", "test_model_cache.py"),
        sources=("services/model_downloader/", "components/model_cache.py"),
    ),
    Area(
        name="app",
        proves="documents in, answers with pages out; the page, the API, OpenAI and MCP fronts",
        unit=(APP_UNIT_TESTS,),
        integration=_integration("browser", "test_app_container.py", "test_clients.py", "test_answer_quality.py"),
        sources=("services/pageindex_app/", "components/pageindex_app.py", "planning/services/app.py", "samples/"),
    ),
    Area(
        name="languages",
        proves="programs in other languages compose the same components, with typed inputs and all faults at once",
        unit=_unit("provider"),
        integration=_integration("test_other_languages.py"),
        sources=("planning/", "provider/", "examples/yaml/", "components/", "toolchain/yaml_host/"),
    ),
    Area(
        name="stack",
        proves="the dev stack comes up, answers, heals, refuses bad input and changes only what was changed",
        unit=_unit("checks"),
        integration=_integration("test_stack_"),
        sources=("planning/", "checks/", "host_access/", "components/", "services/"),
    ),
    Area(
        name="rollouts",
        proves="a model is replaced without a failed request, and taken back when it fails",
        unit=_unit("rollout"),
        integration=_integration("test_rollouts.py"),
        sources=("rollout/", "services/vllm/", "components/vllm_server.py", f"{INTEGRATION}/replicas_program.py"),
    ),
    Area(
        name="models",
        proves="several models answer by their names through one gateway, and one is replaced without the other",
        integration=_integration("test_several_models.py", "test_pooling_models.py"),
        sources=("planning/", "rollout/", "services/gateway/", "services/vllm/", "components/", "wiring/"),
    ),
    Area(
        name="targets",
        proves="every target stack comes up on a simulated GPU host over ssh",
        integration=_integration("test_target_stacks.py", "test_remote_", "test_lab_host.py"),
        sources=("planning/", "components/", "lab/", "host_access/", "checks/", "Pulumi."),
    ),
    Area(
        name="lab",
        proves="engine, registry, hub and simulated cards behave as the real ones",
        unit=_unit("lab"),
        integration=_integration("test_lab_engine.py"),
        sources=("lab/", "machine/"),
    ),
    Area(
        name="toolchain",
        proves="Pulumi and its plugins build from Go modules and behave as the official ones",
        unit=_unit("toolchain"),
        integration=_integration("test_toolchain_engine.py"),
        sources=("toolchain/", "machine/"),
    ),
    Area(
        name="commands",
        proves="make's commands: what they add, ask before and say",
        unit=_unit("quickstart", "operate", "machine", "devtools", "bench"),
        sources=("quickstart/", "operate/", "machine/", "devtools/", "bench/", "Makefile"),
    ),
    Area(
        name="docs",
        proves="links lead somewhere, the architecture page names what is there",
        unit=_unit("docs"),
        sources=("docs/", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "services/gateway/README.md",
                 "services/pageindex_app/README.md", "lab/README.md", "toolchain/README.md", "renovate.json",
                 ".githooks/"),
    ),
)  # fmt: skip


class UnknownArea(ValueError):
    """No area of that name; the text lists those that there are."""


def find(name: str) -> Area:
    """The area of a name."""
    for area in AREAS:
        if area.name == name:
            return area
    raise UnknownArea(f"there is no area {name!r}; there are:\n{listing()}")


def listing() -> str:
    """The areas with what each proves, a line each."""
    width = max(len(area.name) for area in AREAS)
    return "\n".join(f"  {area.name:{width}}  {area.proves}" for area in AREAS)


def touched_by(files: list[str]) -> list[Area]:
    """The areas that a change touches; all of them if a file is nobody's."""
    for file in files:
        if not any(area.touched_by(file) for area in AREAS):
            return list(AREAS)
    return [area for area in AREAS if any(area.touched_by(file) for file in files)]
