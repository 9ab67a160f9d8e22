"""Where weights come from: a volume that is filled and verified once, or a directory of the host that is looked at.

The container that fills the volume alone may reach the hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.command import await_container
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import hardened_container, label_args, labels
from components.service_image import service_image, service_image_name
from planning.hosts.names import FILES_PATH
from planning.hosts.ssh import HostAddress
from planning.services.service import stable_hash
from planning.services.vllm import MODELS_PATH, model_path

DOWNLOADER = "10002:0"
VLLM = "2000:0"  # what this user can't read, vLLM can't


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where a container with ``mount`` finds a model, complete once ``verified`` is there."""

    mount: Mapping[str, Any]
    path: str
    verified: Sequence[pulumi.CustomResource]


@dataclass(frozen=True, kw_only=True)
class ModelCacheArgs:
    """``verify_when`` holds values after whose change the weights are verified again before anybody loads them."""

    prefix: str
    repo: str
    revision: str
    base_image: str
    endpoint: str | None = None
    """Address of a mirror; None is the hub itself."""
    timeout_s: int = 7200
    hf_token: pulumi.Input[str] | None = None
    verify_when: Sequence[str] = ()
    docker_host: HostAddress = None


class ModelCache(pulumi.ComponentResource):
    """Weights at ``path`` of a container with ``mount``, complete and verified once ``verified`` is there.

    The volume outlives `pulumi destroy`; the next `up` finds and verifies it without the hub.
    """

    volume_name: pulumi.Output[str]
    mount: Mapping[str, Any]
    path: str
    verified: Sequence[pulumi.Resource]
    """What loads the weights depends on these."""
    verified_id: pulumi.Output[str]
    """For whoever cannot depend on a resource: known once the weights are verified, and changes with them."""

    def __init__(self, name: str, args: ModelCacheArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:ModelCache", name, None, opts)
        # Without the config hash: a changed label would replace the volume, and with it the weights.
        volume_marks = labels(args.prefix, "models", "-")
        volume = docker.Volume(
            f"{name}-volume",
            name=f"{args.prefix}-models",
            labels=label_args(volume_marks),
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        image_name = service_image_name("model_downloader", args.prefix, args.base_image)
        egress = docker.Network(
            f"{name}-egress",
            name=f"{args.prefix}-egress",
            driver="bridge",
            labels=label_args(labels(args.prefix, "egress", "-")),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        image = service_image(
            f"{name}-image",
            service="model_downloader",
            prefix=args.prefix,
            base_image=args.base_image,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        volumes: list[dict[str, Any]] = [{"volume_name": volume.name, "container_path": MODELS_PATH}]
        if args.hf_token is not None:
            token = ConfigFiles(
                f"{name}-token",
                ConfigFilesArgs(
                    prefix=args.prefix,
                    component="model-fetch",
                    image=image.image_id,
                    files={"hf-token": args.hf_token},
                ),
                pulumi.ResourceOptions(parent=self),
            )
            volumes.append({"volume_name": token.volume_name, "container_path": FILES_PATH, "read_only": True})
        self.volume_name = volume.name
        self._name, self._args, self._image = name, args, image
        self._image_name, self._egress, self._volumes = image_name, egress, volumes
        first = self._fetch(name, args.repo, args.revision, args.verify_when, "model-fetch", after=[])
        self.mount, self.path, self.verified = first.mount, first.path, first.verified
        self.verified_id = first.verified[0].id
        self._kept = [(args.repo, args.revision)]
        self.register_outputs({"volume_name": self.volume_name, "path": self.path})

    def fetch_another(
        self, label: str, *, repo: str, revision: str, verify_when: Sequence[str], after: Sequence[pulumi.Resource]
    ) -> Weights:
        """One more model in the same volume, once ``after`` is there: one download at a time."""
        self._kept.append((repo, revision))
        component = f"model-fetch-{label}"
        return self._fetch(f"{self._name}-{label}", repo, revision, verify_when, component, after=after)

    def _fetch(
        self,
        name: str,
        repo: str,
        revision: str,
        verify_when: Sequence[str],
        component: str,
        after: Sequence[pulumi.Resource],
    ) -> Weights:
        args = self._args
        config_hash = stable_hash(repo, revision, args.endpoint, args.timeout_s, *verify_when)
        environment = {
            "MODEL_REPO": repo,
            "MODEL_REVISION": revision,
            "MODEL_TIMEOUT_S": str(args.timeout_s),
            # For its error messages: the command that removes a damaged copy, ready to be pasted on the host.
            "MODEL_FORGET_COMMAND": f"docker run --rm -v {args.prefix}-models:{MODELS_PATH} {self._image_name} forget",
        }
        if args.endpoint:
            environment["HF_ENDPOINT"] = args.endpoint
        fetch = hardened_container(
            f"{name}-fetch",
            host_name=f"{args.prefix}-{component}",
            image=self._image.image_id,
            user=DOWNLOADER,
            networks=[{"name": self._egress.name}],
            labelled=labels(args.prefix, component, config_hash),
            volumes=self._volumes,
            environment=environment,
            restart="no",
            must_run=False,
            tmpfs={"/tmp": ""},
            # One writer of a model at a time.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, depends_on=list(after)),
        )
        verified = await_container(
            f"{name}-verified",
            fetch,
            "finished",
            f"weights of {repo}",
            timeout_s=args.timeout_s,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        mount = {"volume_name": self.volume_name, "container_path": MODELS_PATH, "read_only": True}
        return Weights(mount=mount, path=model_path(repo, revision), verified=[verified])

    def forget_others(self, after: Sequence[pulumi.Resource]) -> None:
        """Remove every other model from the volume, once ``after`` is there."""
        args = self._args
        prune = _one_shot(
            f"{self._name}-prune",
            prefix=args.prefix,
            component="model-prune",
            image=self._image,
            user=DOWNLOADER,
            command=["prune", *(word for kept in self._kept for word in ("--keep", *kept))],
            volume={"volume_name": self.volume_name, "container_path": MODELS_PATH},
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        await_container(
            f"{self._name}-pruned",
            prune,
            "finished",
            "removal of models that are not in use",
            timeout_s=args.timeout_s,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )


@dataclass(frozen=True, kw_only=True)
class HostModelArgs:
    """``directory`` is the host's. ``verify_when`` is as in ModelCacheArgs; ``label`` tells several apart."""

    prefix: str
    directory: str
    base_image: str
    timeout_s: int = 7200
    verify_when: Sequence[str] = ()
    label: str = ""
    docker_host: HostAddress = None


class HostModel(pulumi.ComponentResource):
    """Weights that lie in a directory of the host already: mounted read-only, looked at before anybody loads them.

    Complete and as long as their headers say; by checksum where a manifest of ours lies beside them.
    """

    mount: Mapping[str, Any]
    path: str
    verified: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: HostModelArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:HostModel", name, None, opts)
        self.path = f"{MODELS_PATH}/local{f'-{args.label}' if args.label else ''}"
        self.mount = {"host_path": args.directory, "container_path": self.path, "read_only": True}
        image = service_image(
            f"{name}-image",
            service="model_downloader",
            prefix=args.prefix,
            base_image=args.base_image,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        check = _one_shot(
            f"{name}-check",
            prefix=args.prefix,
            component=f"model-check-{args.label}" if args.label else "model-check",
            image=image,
            user=VLLM,
            command=["check", self.path],
            volume=self.mount,
            marks=args.verify_when,
            opts=pulumi.ResourceOptions(parent=self),
        )
        verified = await_container(
            f"{name}-verified",
            check,
            "finished",
            f"weights in {args.directory}",
            timeout_s=args.timeout_s,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.verified = [verified]
        self.register_outputs({"path": self.path})


def _one_shot(
    resource_name: str,
    *,
    prefix: str,
    component: str,
    image: docker.RemoteImage,
    user: str,
    command: Sequence[str],
    volume: Mapping[str, Any],
    marks: Sequence[str] = (),
    opts: pulumi.ResourceOptions,
) -> docker.Container:
    """The downloader's image with another command, without any network; it runs again when ``marks`` change."""
    return hardened_container(
        resource_name,
        host_name=f"{prefix}-{component}",
        image=image.image_id,
        user=user,
        networks=[],
        labelled=labels(prefix, component, stable_hash(volume.get("host_path"), *command, *marks)),
        command=list(command),
        volumes=[volume],
        restart="no",
        must_run=False,
        tmpfs={"/tmp": ""},
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
