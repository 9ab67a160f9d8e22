"""VllmServer: replicas of one OpenAI-compatible vLLM server, reachable only on their Docker network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.command import ended, roll_out
from components.config_files import ConfigFiles
from components.container import label_args, labels
from components.gateway import GatewayHandle
from components.service_container import FILES_LABEL, service_container, service_files
from planning.hosts.names import SERVED_LABEL, STABLE_ALIAS
from planning.hosts.ssh import HostAddress
from planning.memory.placement import Replica
from planning.rules.modes import RolloutMode
from planning.services.compile_caches import CACHES, CPU, caches_key, caches_volume
from planning.services.service import FILES_VOLUME, Service, Volume
from planning.services.vllm import AUTH_HEADER_FILE, CONFIG_FILE, MODELS_VOLUME, STOP_MARGIN_S, vllm_service
from planning.settings.model import InlineModel
from planning.settings.vllm import VllmSettings


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
    card: str = ""
    """Kind of card, for which code is compiled; empty on the CPU."""
    served: str = ""
    """The model's name where the stack serves several; the replicas carry it."""
    names: Sequence[str] = ()
    """All that the model answers to, the one first that it calls itself. Default: `default` and its repository."""
    wait_for: Sequence[pulumi.Resource] = ()
    """What must be there before a replica is made, such as verified weights; images are pulled meanwhile."""
    start_after: Sequence[pulumi.Resource] = ()
    """What must be there before a replica starts: models on its cards, which would disturb how it measures them."""
    rollout: RolloutMode = "recreate"
    """How a replica that is in use is replaced."""
    gateway: GatewayHandle | None = None
    """Who sends requests to the replicas, and is told who they are."""
    docker_host: HostAddress = None

    def service(self, replica: Replica) -> Service:
        """What one replica is."""
        weights = Volume(name=MODELS_VOLUME, path=str(self.model_mount["container_path"]), read_only=True)
        return vllm_service(
            self.settings,
            image=self.image,
            model=self.model,
            model_path=self.model_path,
            weights=weights,
            replica=replica,
            names=self.names,
        )

    @property
    def served_names(self) -> list[str]:
        """As rollouts ask for them: any of them will do, the last is asked."""
        return list(self.names) or [self.model.repo, STABLE_ALIAS]


class VllmServer(pulumi.ComponentResource):
    """Serves one model on its network. Depend on it to wait until every replica is in use: it answered a question.

    Pulumi creates and removes containers; a rollout starts and stops them. So the old generation serves until the new
    one does, and stays when the new one fails.
    """

    container_names: list[pulumi.Output[str]]
    """Of each replica; another one after each replacement."""
    rollouts: list[local.Command]
    """What brings each replica into use."""
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
        files = service_files(
            f"{name}-files",
            args.service(args.replicas[0]),  # all replicas share them
            prefix=args.prefix,
            image=image.image_id,
            secrets={
                # JSON is YAML, and quotes whatever the key holds.
                CONFIG_FILE: pulumi.Output.json_dumps({"api-key": args.api_key}),
                AUTH_HEADER_FILE: pulumi.Output.concat("Authorization: Bearer ", args.api_key, "\n"),
            },
            of_model=args.served,
            opts=pulumi.ResourceOptions(parent=self),
        )
        containers = [self._create_replica(name, replica, args, image, files) for replica in args.replicas]
        rollouts: list[local.Command] = []
        for replica, container in zip(args.replicas, containers, strict=True):
            # One at a time, so that one alone is out; and only when all are there: a first `up` starts them together.
            rollouts.append(self._roll_out(name, replica, args, container, [*containers, *rollouts[-1:]]))
        self.container_names = [container.name for container in containers]
        self.rollouts = rollouts
        self.ready = [rollout.id for rollout in rollouts]
        self.register_outputs({"container_names": self.container_names})

    def _roll_out(
        self,
        name: str,
        replica: Replica,
        args: VllmServerArgs,
        container: docker.Container,
        after: Sequence[pulumi.Resource],
    ) -> local.Command:
        settings, gateway = args.settings, args.gateway
        told_after = [gateway.ready] if gateway and gateway.ready else []
        facts = {
            "prefix": args.prefix,
            "slot": replica.index,
            "slots": len(args.replicas),
            "container": container.name,
            "what": args.model.repo,
            "served_models": args.served_names,
            "mode": args.rollout,
            "rollback": settings.rollback,
            "gateway": gateway and gateway.container_name,
            "restart": settings.restart,
            "startup_timeout_s": settings.startup_timeout_s,
            "drain_timeout_s": settings.drain_timeout_s,
            "stop_timeout_s": settings.shutdown_timeout_s + STOP_MARGIN_S,
            "docker_host": args.docker_host,
        }
        if args.served:
            facts |= {"served": args.served, "task": args.model.task}
        return roll_out(
            f"{name}-{replica.index}-ready",
            facts,
            # A gateway that was replaced, and a number of replicas that was, are told or asked again; a replica that
            # was stopped is started again.
            triggers=[
                container.id,
                len(args.replicas),
                *([gateway.container_id] if gateway else []),
                ended(container, args.docker_host),
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*after, *told_after, *args.start_after]),
        )

    def _create_replica(
        self, name: str, replica: Replica, args: VllmServerArgs, image: docker.RemoteImage, files: ConfigFiles
    ) -> docker.Container:
        settings, service = args.settings, args.service(replica)
        caches = self._caches(name, replica, args)
        source = {key: value for key, value in args.model_mount.items() if key in {"volume_name", "host_path"}}
        return service_container(
            f"{args.prefix}-{replica.alias}",  # what the container's name starts with
            service,
            prefix=args.prefix,
            host_name=None,
            image=image.image_id,
            networks={"internal": args.network_name},
            mounts={
                MODELS_VOLUME: source,
                FILES_VOLUME: {"volume_name": files.host_name},
                CACHES.name: {"volume_name": caches.name},
            },
            labelled={
                FILES_LABEL: files.digest,
                "pageindex-stack.model": json.dumps([args.model.repo, args.model.revision]),
                "pageindex-stack.replica": str(replica.index),
                **({SERVED_LABEL: args.served} if args.served else {}),
            },
            ipc_mode=None if settings.ipc == "private" else settings.ipc,
            ulimits=[
                {"name": limit, "soft": value, "hard": value}
                for limit, value in settings.ulimits.model_dump().items()
                if value is not None
            ],
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

    def _caches(self, name: str, replica: Replica, args: VllmServerArgs) -> docker.Volume:
        """What a replica compiles. A rollout gives it to vLLM's user, and looks at it before each start.

        Another image or kind of card is another resource, not this one replaced: the old one goes when nobody mounts it
        any more, and one that is wanted again after a failure is still the same.
        """
        key = caches_key(args.image, args.card)
        marks = {"pageindex-stack.image": args.image, "pageindex-stack.card": args.card or CPU}
        return docker.Volume(
            f"{name}-{replica.index}-caches-{key}",
            name=caches_volume(args.prefix, replica, args.image, args.card),
            labels=label_args({**labels(args.prefix, "vllm", key), **marks}),
            opts=pulumi.ResourceOptions(parent=self),
        )
