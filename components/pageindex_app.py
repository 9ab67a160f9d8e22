"""PageIndexApp: the official pageindex library behind an HTTP API, on the isolated network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.command import ask, await_container
from components.container import label_args, labels
from components.service_container import FILES_LABEL, service_container, service_files
from components.service_image import service_image
from planning.hosts.names import container_of
from planning.hosts.ssh import HostAddress
from planning.rules.modes import AnswerMode
from planning.rules.scans import OcrServer
from planning.services.app import (
    ALIAS,
    DOCUMENTS_VOLUME,
    OCR_KEY_FILE,
    PORT,
    STARTUP_S,
    VLLM_KEY_FILE,
    AskedModels,
    app_service,
)
from planning.services.service import FILES_VOLUME, Network
from planning.settings.areas import PageIndexSettings


@dataclass(frozen=True, kw_only=True)
class PageIndexAppArgs:
    """Settings, how to answer, the models' address and key, and which of them does what."""

    prefix: str
    settings: PageIndexSettings
    answer: AnswerMode
    base_image: str
    network_name: pulumi.Input[str]
    llm_base_url: str
    llm_api_key: pulumi.Input[str]
    models: AskedModels
    ocr: OcrServer | None = None
    ocr_key: pulumi.Input[str] | None = None
    docker_host: HostAddress = None


class PageIndexApp(pulumi.ComponentResource):
    """Answers from documents at ``upstream``. Documents live in a volume that goes with `pulumi destroy`."""

    upstream: str
    container_name: str
    also_on: dict[str, str]
    """The container's name to one more isolated network that it is on, another stack's; empty without one."""
    ready: pulumi.Output[str]

    def __init__(self, name: str, args: PageIndexAppArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:PageIndexApp", name, None, opts)
        image = service_image(
            f"{name}-image",
            service="pageindex_app",
            prefix=args.prefix,
            base_image=args.base_image,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        documents = docker.Volume(
            f"{name}-documents",
            name=f"{args.prefix}-{DOCUMENTS_VOLUME}",
            labels=label_args(labels(args.prefix, DOCUMENTS_VOLUME, "-")),
            opts=pulumi.ResourceOptions(parent=self),
        )
        before: list[pulumi.Resource] = []
        if args.ocr and args.ocr.network:
            # An app that runs, and the files it is replaced with, are not touched for a stack that is not there.
            other_stack = ask(
                f"{name}-ocr-stack",
                "other-stack",
                {"network": args.ocr.network, "stack": args.ocr.stack, "docker_host": args.docker_host},
                triggers=[args.ocr.network],
                opts=pulumi.ResourceOptions(parent=self),
            )
            before.append(other_stack)
        service = app_service(
            args.settings,
            answer=args.answer,
            llm_base_url=args.llm_base_url,
            models=args.models,
            ocr=args.ocr,
            has_ocr_key=args.ocr_key is not None,
        )
        files = service_files(
            f"{name}-files",
            service,
            prefix=args.prefix,
            image=image.image_id,
            secrets={VLLM_KEY_FILE: args.llm_api_key} | ({OCR_KEY_FILE: args.ocr_key} if args.ocr_key else {}),
            opts=pulumi.ResourceOptions(parent=self, depends_on=before),
        )
        networks: dict[Network, pulumi.Input[str]] = {"internal": args.network_name}
        if args.ocr and args.ocr.network:
            networks["other-stack"] = args.ocr.network
        self.container_name = container_of(args.prefix, service.component)
        container = service_container(
            f"{name}-container",
            service,
            prefix=args.prefix,
            host_name=self.container_name,
            image=image.image_id,
            networks=networks,
            mounts={
                DOCUMENTS_VOLUME: {"volume_name": documents.name},
                FILES_VOLUME: {"volume_name": files.volume_name},
            },
            labelled={FILES_LABEL: files.digest},
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,  # its name and volume are one
                depends_on=before,
            ),
        )
        healthy = await_container(
            f"{name}-ready",
            container,
            "healthy",
            "PageIndex",
            timeout_s=STARTUP_S,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.upstream = f"{ALIAS}:{PORT}"
        self.also_on = {self.container_name: args.ocr.network} if args.ocr and args.ocr.network else {}
        self.ready = healthy.id
        self.register_outputs({"upstream": self.upstream})
