"""PageIndexApp: the official pageindex library behind an HTTP API, on the isolated network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from components.command import ask, await_container
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import FILES_PATH, hardened_container, healthcheck, label_args, labels, stable_hash
from components.service_image import service_image
from planning.hosts.ssh import HostAddress
from planning.rules.answering import Mode
from planning.rules.scans import OcrServer
from planning.services.vllm_command import STABLE_ALIAS
from planning.settings.areas import PageIndexSettings

APP_PORT = 3000  # inside the network; the gateway publishes it
STARTUP_S = 120
DATA_PATH = "/data"
# Alive, not ready: a missing model must not make Docker call the app unhealthy. The slim image has no curl.
PROBE = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{APP_PORT}/health', timeout=4)"


@dataclass(frozen=True, kw_only=True)
class PageIndexAppArgs:
    """Settings, how to answer, the model's address and key, and its longest context, in tokens."""

    prefix: str
    settings: PageIndexSettings
    answer: Mode
    base_image: str
    network_name: pulumi.Input[str]
    llm_base_url: str
    llm_api_key: pulumi.Input[str]
    context_tokens: int
    ocr: OcrServer | None = None
    ocr_key: pulumi.Input[str] | None = None
    docker_host: HostAddress = None


def index_memory_mib(memory_gib: float) -> int:
    """Address space of the index worker: the container's memory without the service's own part, so that a file that
    wants too much ends its worker and not the container. Below a GiB PageIndex's libraries do not load."""
    return max(1024, int(memory_gib * 1024 * 0.75))


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
            name=f"{args.prefix}-documents",
            labels=label_args(labels(args.prefix, "documents", "-")),
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
        files = ConfigFiles(
            f"{name}-files",
            ConfigFilesArgs(
                prefix=args.prefix,
                component="app",
                image=image.image_id,
                files={"vllm-key": args.llm_api_key} | ({"ocr-key": args.ocr_key} if args.ocr_key else {}),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=before),
        )
        environment = {
            "VLLM_BASE_URL": args.llm_base_url,
            "VLLM_MODEL": STABLE_ALIAS,
            "VLLM_API_KEY_FILE": f"{FILES_PATH}/vllm-key",
            "ANSWER_MODE": args.answer,
            "MAX_UPLOAD_MIB": str(args.settings.max_upload_mib),
            "MAX_PAGES": str(args.settings.max_pages),
            "CONTEXT_TOKENS": str(args.context_tokens),
            "DATA_DIR": DATA_PATH,
            "MODEL_TIMEOUT_S": str(args.settings.model_timeout_s),
            "INDEX_MEMORY_MIB": str(index_memory_mib(args.settings.memory_gib)),
        }
        networks: list[dict[str, Any]] = [{"name": args.network_name, "aliases": ["pageindex"]}]
        if args.ocr:
            environment |= {"OCR_BASE_URL": args.ocr.base_url, "OCR_MODEL": args.ocr.model}
        if args.ocr and args.ocr.network:
            networks.append({"name": args.ocr.network})  # no alias: the other stack has an app of its own
        container = hardened_container(
            f"{name}-container",
            host_name=f"{args.prefix}-app",
            image=image.image_id,
            user="10001:0",
            networks=networks,
            labelled={
                **labels(args.prefix, "app", stable_hash(environment, args.settings.model_dump())),
                "pageindex-stack.files": files.digest,
            },
            environment=environment,
            volumes=[
                {"volume_name": documents.name, "container_path": DATA_PATH},
                {"volume_name": files.volume_name, "container_path": FILES_PATH, "read_only": True},
            ],
            tmpfs={"/tmp": ""},
            memory_mib=int(args.settings.memory_gib * 1024),
            stop_timeout=30,
            destroy_grace_seconds=30,
            healthcheck=healthcheck(["CMD", "python3", "-c", PROBE], startup_s=STARTUP_S),
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,  # its name and volume are one
                depends_on=before,
            ),
        )
        gate = await_container(
            f"{name}-ready",
            container,
            "healthy",
            "PageIndex",
            timeout_s=STARTUP_S,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.upstream = f"pageindex:{APP_PORT}"
        self.container_name = f"{args.prefix}-app"
        self.also_on = {self.container_name: args.ocr.network} if args.ocr and args.ocr.network else {}
        self.ready = gate.id
        self.register_outputs({"upstream": self.upstream})
