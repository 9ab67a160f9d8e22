"""VllmServer: replicas of one OpenAI-compatible vLLM server, reachable only on their Docker network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.command import await_healthy
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, fingerprint, hardened_container, healthcheck, labels
from components.service_image import SERVICES
from planning.model import InlineModel
from planning.placement import Replica
from planning.ssh import HostAddress
from planning.vllm_command import API_PORT, vllm_command, vllm_environment
from planning.vllm_settings import VllmSettings

PROBE = Path(SERVICES, "vllm", "probe.sh")
SHARED_ALIAS = "vllm"
STOP_MARGIN_S = 10  # Docker kills this much after vLLM's own deadline for running requests


@dataclass(frozen=True, kw_only=True)
class VllmServerArgs:
    """Validated settings, plus the wires that other components hand over."""

    prefix: str
    settings: VllmSettings
    image: str
    model: InlineModel
    model_path: str
    """Where a replica finds the weights."""
    model_mount: Mapping[str, Any]
    """The volume or host directory that holds them, in the shape of a container's volume."""
    network_name: pulumi.Input[str]
    api_key: pulumi.Input[str]
    replicas: Sequence[Replica] = (Replica(index=0, cards=()),)
    wait_for: Sequence[pulumi.Resource] = ()
    """What must be there before a replica starts, such as verified weights; images are pulled meanwhile."""
    docker_host: HostAddress = None

    def command(self) -> list[str]:
        """What follows the image's entrypoint."""
        return vllm_command(self.model, self.settings, self.model_path, f"{FILES_PATH}/vllm.yaml", entrypoint=[])

    def config_hash(self) -> str:
        """Changes with everything that replaces a replica."""
        return fingerprint(self.image, self.command(), vllm_environment(self.settings), self.settings.model_dump())


class VllmServer(pulumi.ComponentResource):
    """Serves one model at ``base_url`` on its network. Depend on it to wait until every replica generated a token."""

    base_url: str
    """Any replica: they share one name on the network."""
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
        gates = []
        for replica in args.replicas:
            container = self._create_replica(name, replica, args, image, files)
            gates.append(self._await_first_token(name, replica, args, container))
        # Constants, not Outputs: replacing a replica must not replace its consumers.
        self.upstreams = [f"{replica.alias}:{API_PORT}" for replica in args.replicas]
        self.base_url = f"http://{SHARED_ALIAS}:{API_PORT}/v1"
        self.container_names = [f"{args.prefix}-{replica.alias}" for replica in args.replicas]
        self.ready = [gate.id for gate in gates]
        self.register_outputs({"base_url": self.base_url, "upstreams": self.upstreams})

    def _await_first_token(
        self, name: str, replica: Replica, args: VllmServerArgs, container: docker.Container
    ) -> local.Command:
        return await_healthy(
            f"{name}-{replica.index}-ready",
            container,
            f"{args.model.repo} in {replica.alias}",
            timeout_s=args.settings.startup_timeout_s,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_replica(
        self, name: str, replica: Replica, args: VllmServerArgs, image: docker.RemoteImage, files: ConfigFiles
    ) -> docker.Container:
        settings = args.settings
        marks = {
            **labels(args.prefix, "vllm", fingerprint(args.config_hash(), replica.cards)),
            "pageindex-stack.files": files.digest,
            "pageindex-stack.model": json.dumps([args.model.repo, args.model.revision]),
        }
        return hardened_container(
            f"{name}-{replica.index}-container",
            host_name=f"{args.prefix}-{replica.alias}",
            image=image.image_id,
            user="2000:0",  # the user that vLLM's images are prepared for
            networks=[{"name": args.network_name, "aliases": [SHARED_ALIAS, replica.alias]}],
            labelled=marks,
            command=args.command(),
            environment=vllm_environment(settings),
            volumes=[
                args.model_mount,
                {"volume_name": files.volume_name, "container_path": FILES_PATH, "read_only": True},
            ],
            tmpfs={"/tmp": "exec", "/home/vllm": "exec,uid=2000"},
            shm_size=int(settings.shm_gib * 1024),  # MiB
            ipc_mode=None if settings.ipc == "private" else settings.ipc,
            ulimits=[
                {"name": limit, "soft": value, "hard": value}
                for limit, value in settings.ulimits.model_dump().items()
                if value is not None
            ],
            restart=settings.restart,
            log_limits=(settings.log_max_mib, settings.log_max_files),
            stop_timeout=settings.shutdown_timeout_s + STOP_MARGIN_S,
            destroy_grace_seconds=settings.shutdown_timeout_s + STOP_MARGIN_S,
            healthcheck=healthcheck(
                ["CMD", "sh", f"{FILES_PATH}/probe.sh"], startup_s=settings.startup_timeout_s, timeout_s=30
            ),
            memory_mib=int(settings.memory_gib * 1024) if settings.memory_gib else None,
            device_requests=_device_requests(replica),
            # Two copies of the weights do not fit on a card, and the name is fixed: the old one goes first.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=list(args.wait_for)),
        )


def _device_requests(replica: Replica) -> list[dict[str, Any]] | None:
    """The replica's cards by index. The provider's `gpus` cannot name several, and differs at every preview."""
    if not replica.cards:
        return None
    return [{"driver": "nvidia", "device_ids": [str(card) for card in replica.cards], "capabilities": ["gpu"]}]
