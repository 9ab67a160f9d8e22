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

from components.command import roll_out
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, hardened_container, healthcheck, labels, stable_hash
from components.gateway import GatewayDoor
from components.service_image import SERVICES
from planning.hosts.ssh import HostAddress
from planning.memory.placement import Replica
from planning.rules.rollouts import Mode
from planning.services.vllm_command import STABLE_ALIAS, vllm_command, vllm_environment
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings

PROBE = Path(SERVICES, "vllm", "probe.sh")
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
    rollout: Mode = "recreate"
    """How a replica that is in use is replaced."""
    gateway: GatewayDoor | None = None
    """Who sends requests to the replicas, and is told who they are."""
    docker_host: HostAddress = None

    def command(self) -> list[str]:
        """What follows the image's entrypoint."""
        return vllm_command(self.model, self.settings, self.model_path, f"{FILES_PATH}/vllm.yaml", entrypoint=[])

    def config_hash(self) -> str:
        """Changes with everything that replaces a replica."""
        return stable_hash(
            self.image, self.command(), vllm_environment(self.settings), self.settings.replica_settings()
        )


class VllmServer(pulumi.ComponentResource):
    """Serves one model on its network. Depend on it to wait until every replica is in use: it answered a question.

    Pulumi creates and removes containers; a rollout starts and stops them. So the old generation serves until the new
    one does, and stays when the new one fails.
    """

    container_names: list[pulumi.Output[str]]
    """Of each replica; another one after each replacement."""
    ready: list[pulumi.Output[str]]
    """Ids of the rollouts: they change when a replica is replaced."""

    def __init__(self, name: str, args: VllmServerArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:VllmServer", name, None, opts)
        image = docker.RemoteImage(
            f"{name}-image",
            name=args.image,
            keep_locally=True,
            # Stated, because the provider wants it otherwise: what goes first takes along whoever was made of it.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False),
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
        containers = [self._create_replica(name, replica, args, image, files) for replica in args.replicas]
        gates: list[local.Command] = []
        for replica, container in zip(args.replicas, containers, strict=True):
            # One at a time, so that one alone is out; and only when all are there: a first `up` starts them together.
            gates.append(self._roll_out(name, replica, args, container, [*containers, *gates[-1:]]))
        self.container_names = [container.name for container in containers]
        self.ready = [gate.id for gate in gates]
        self.register_outputs({"container_names": self.container_names})

    def _roll_out(
        self,
        name: str,
        replica: Replica,
        args: VllmServerArgs,
        container: docker.Container,
        after: Sequence[pulumi.Resource],
    ) -> local.Command:
        settings, door = args.settings, args.gateway
        facts = {
            "prefix": args.prefix,
            "slot": replica.index,
            "slots": len(args.replicas),
            "container": container.name,
            "what": args.model.repo,
            "served_models": [args.model.repo, STABLE_ALIAS],
            "mode": args.rollout,
            "rollback": settings.rollback,
            "gateway": door and door.container_name,
            "restart": settings.restart,
            "startup_timeout_s": settings.startup_timeout_s,
            "drain_timeout_s": settings.drain_timeout_s,
            "stop_timeout_s": settings.shutdown_timeout_s + STOP_MARGIN_S,
            "docker_host": args.docker_host,
        }
        return roll_out(
            f"{name}-{replica.index}-ready",
            facts,
            # A gateway that was replaced, and a number of replicas that was, are told or asked again.
            triggers=[container.id, len(args.replicas), *([door.container_id] if door else [])],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*after, *([door.ready] if door else [])]),
        )

    def _create_replica(
        self, name: str, replica: Replica, args: VllmServerArgs, image: docker.RemoteImage, files: ConfigFiles
    ) -> docker.Container:
        settings = args.settings
        marks = {
            **labels(args.prefix, "vllm", stable_hash(args.config_hash(), replica.cards)),
            "pageindex-stack.files": files.digest,
            "pageindex-stack.model": json.dumps([args.model.repo, args.model.revision]),
            "pageindex-stack.replica": str(replica.index),
        }
        return hardened_container(
            f"{args.prefix}-{replica.alias}",  # what the container's name starts with
            host_name=None,
            image=image.image_id,
            user="2000:0",  # the user that vLLM's images are prepared for
            networks=[{"name": args.network_name}],
            labelled=marks,
            command=args.command(),
            environment=vllm_environment(settings),
            volumes=[
                args.model_mount,
                {"volume_name": files.host_name, "container_path": FILES_PATH, "read_only": True},
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
            start=False,  # the rollout does, when the old generation has made room
            must_run=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Stated, because the provider wants it otherwise: the old generation goes when the new one is in use.
                delete_before_replace=False,
                depends_on=[*args.wait_for, files],
                aliases=[pulumi.Alias(name=f"{name}-{replica.index}-container")],
            ),
        )


def _device_requests(replica: Replica) -> list[dict[str, Any]] | None:
    """The replica's cards by index. The provider's `gpus` cannot name several, and differs at every preview."""
    if not replica.cards:
        return None
    return [{"driver": "nvidia", "device_ids": [str(card) for card in replica.cards], "capabilities": ["gpu"]}]
