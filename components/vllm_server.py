"""VllmServer: replicas of one OpenAI-compatible vLLM server, reachable only on their Docker network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.command import ask
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, fingerprint, hardened_container, healthcheck, labels
from components.model_cache import MODELS_PATH
from components.service_image import SERVICES
from planning.settings import InlineModel, VllmSettings
from planning.vllm_command import API_PORT, vllm_command, vllm_environment

PROBE = Path(SERVICES, "vllm", "probe.sh")
STOP_MARGIN_S = 10  # Docker kills this much after vLLM's own deadline for running requests


@dataclass(frozen=True, kw_only=True)
class VllmServerArgs:
    """Validated settings, plus the wires that other components hand over."""

    prefix: str
    settings: VllmSettings
    image: str
    model: InlineModel
    model_directory: str
    model_volume: pulumi.Input[str]
    network_name: pulumi.Input[str]
    api_key: pulumi.Input[str]
    wait_for: Sequence[pulumi.Resource] = ()
    """What must be there before a replica starts, such as verified weights; images are pulled meanwhile."""
    docker_host: str | None = None

    def command(self) -> list[str]:
        """What follows the image's entrypoint."""
        return vllm_command(
            self.model,
            self.settings,
            f"{MODELS_PATH}/{self.model_directory}",
            f"{FILES_PATH}/vllm.yaml",
            entrypoint=[],
        )

    def config_hash(self) -> str:
        """Changes with everything that replaces a replica."""
        return fingerprint(self.image, self.command(), vllm_environment(self.settings), self.settings.model_dump())


class VllmServer(pulumi.ComponentResource):
    """Serves one model at ``base_url`` on its network. Depend on it to wait until it has generated a token."""

    base_url: str
    upstreams: list[str]
    """host:port of each replica, as its network's members reach it."""
    container_names: list[str]
    ready: list[pulumi.Output[str]]
    """Ids of the gates that wait for each replica's first token: they change when a replica is replaced."""

    def __init__(self, name: str, args: VllmServerArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:VllmServer", name, None, opts)
        image = docker.RemoteImage(
            f"{name}-image", name=args.image, keep_locally=True, opts=pulumi.ResourceOptions(parent=self)
        )
        files = ConfigFiles(
            f"{name}-files",
            ConfigFilesArgs(
                prefix=args.prefix,
                component="vllm",
                image=image.image_id,
                files={
                    # JSON is YAML, and quotes whatever the key holds.
                    "vllm.yaml": pulumi.Output.json_dumps({"api-key": args.api_key}),
                    "auth-header": pulumi.Output.concat("Authorization: Bearer ", args.api_key, "\n"),
                    "probe.sh": PROBE.read_text(encoding="utf-8"),
                },
            ),
            pulumi.ResourceOptions(parent=self),
        )
        alias = "vllm-0"
        container = self._create_replica(name, alias, args, image, files)
        gate = ask(
            f"{name}-0-ready",
            "healthy",
            {
                "container": container.name,
                "what": f"{args.model.repo} in vLLM",
                "timeout_s": args.settings.startup_timeout_s,
                "docker_host": args.docker_host,
            },
            triggers=[container.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Constants, not Outputs: replacing a replica must not replace its consumers.
        self.upstreams = [f"{alias}:{API_PORT}"]
        self.base_url = f"http://{self.upstreams[0]}/v1"
        self.container_names = [f"{args.prefix}-{alias}"]
        self.ready = [gate.id]
        self.register_outputs({"base_url": self.base_url, "upstreams": self.upstreams})

    def _create_replica(
        self, name: str, alias: str, args: VllmServerArgs, image: docker.RemoteImage, files: ConfigFiles
    ) -> docker.Container:
        settings = args.settings
        marks = {
            **labels(args.prefix, "vllm", args.config_hash()),
            "pageindex-stack.files": files.digest,
            "pageindex-stack.model": json.dumps([args.model.repo, args.model.revision]),
        }
        return hardened_container(
            f"{name}-0-container",
            host_name=f"{args.prefix}-{alias}",
            image=image.image_id,
            user="2000:0",  # the user that vLLM's images are prepared for
            networks=[{"name": args.network_name, "aliases": [alias]}],
            labelled=marks,
            command=args.command(),
            environment=vllm_environment(settings),
            volumes=[
                {"volume_name": args.model_volume, "container_path": MODELS_PATH, "read_only": True},
                {"volume_name": files.volume_name, "container_path": FILES_PATH, "read_only": True},
            ],
            tmpfs={"/tmp": "exec", "/home/vllm": "exec,uid=2000"},
            shm_size=int(settings.shm_gib * 1024),  # MiB
            stop_timeout=settings.shutdown_timeout_s + STOP_MARGIN_S,
            destroy_grace_seconds=settings.shutdown_timeout_s + STOP_MARGIN_S,
            healthcheck=healthcheck(
                ["CMD", "sh", f"{FILES_PATH}/probe.sh"], startup_s=settings.startup_timeout_s, timeout_s=30
            ),
            memory_mib=int(settings.memory_gib * 1024) if settings.memory_gib else None,
            gpus="all" if settings.device == "cuda" else None,
            # Two copies of the weights do not fit on a card, and the name is fixed: the old one goes first.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=list(args.wait_for)),
        )
