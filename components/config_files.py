"""ConfigFiles: files, secret ones too, brought into a container whose root is read-only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.container import label_args, labels
from planning.hosts.names import FILES_PATH
from planning.services.service import stable_hash


@dataclass(frozen=True, kw_only=True)
class ConfigFilesArgs:
    """``files`` maps names to contents. ``image`` is never run; any image that the host has will do."""

    prefix: str
    component: str
    image: pulumi.Input[str]
    files: Mapping[str, pulumi.Input[str]]
    of_model: str = ""
    """Tells those of several models apart."""


class ConfigFiles(pulumi.ComponentResource):
    """A small volume with files of mode 0440, root:root, for containers that run in group 0.

    Docker refuses uploads into a container with a read-only root, so a container that is created but never started
    carries them into the volume. The contents stand in no environment, command line or ``docker inspect``.
    """

    volume_name: pulumi.Output[str]
    host_name: str
    """The volume's name as a constant: a reader that takes it must depend on this component, and isn't removed when the
    files are written anew."""
    digest: pulumi.Output[str]
    """Hash over all contents: a label with it restarts the reader when a file changes."""

    def __init__(self, name: str, args: ConfigFilesArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:ConfigFiles", name, None, opts)
        of_model = f"-{args.of_model}" if args.of_model else ""
        host_name = f"{args.prefix}-{args.component}{of_model}-files"
        marks = labels(args.prefix, args.component, stable_hash(sorted(args.files)))
        volume = docker.Volume(
            f"{name}-volume", name=host_name, labels=label_args(marks), opts=pulumi.ResourceOptions(parent=self)
        )
        carrier = docker.Container(
            f"{name}-carrier",
            name=host_name,
            image=args.image,
            labels=label_args(marks),
            network_mode="none",
            start=False,
            must_run=False,
            restart="no",
            capabilities={"drops": ["ALL"]},
            volumes=[{"volume_name": volume.name, "container_path": FILES_PATH}],
            uploads=[
                {"file": f"{FILES_PATH}/{file}", "content": content, "permissions": "0440"}
                for file, content in sorted(args.files.items())
            ],
            # The volume holds one set of files: the old carrier must not be removed after the new one wrote them.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        contents = pulumi.Output.all(**args.files)
        self.digest = pulumi.Output.unsecret(contents.apply(_digest))
        self.host_name = host_name
        # Known only once the carrier has written: readers that take the name wait for the files.
        self.volume_name = pulumi.Output.all(volume.name, carrier.id).apply(lambda both: str(both[0]))
        self.register_outputs({"volume_name": self.volume_name, "digest": self.digest})


def _digest(contents: Mapping[str, str]) -> str:
    joined = "\0".join(f"{file}\0{content}" for file, content in sorted(contents.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
