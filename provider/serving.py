"""Gateway, VllmServer, PageIndexApp and Checks with inputs and outputs that every language has; see `foundations`."""

from typing import Any, Optional, TypedDict

import pulumi

import components
from planning.hosts.images import resolve_image
from planning.hosts.names import STABLE_ALIAS, container_of, gateway_container
from planning.memory.placement import place
from planning.rules.answering import answer_mode
from planning.services.app import AskedModels
from planning.services.gateway import inner_url
from planning.services.vllm import MODELS_PATH, model_path
from planning.settings.areas import PageIndexSettings
from planning.settings.gateway import GatewaySettings
from planning.settings.vllm import VllmSettings
from provider.inputs import PACKAGE, model_from, settings_from
from provider.settings_args import GatewaySettingsArgs, PageIndexSettingsArgs, VllmSettingsArgs


class GatewayArgs(TypedDict):
    """Who may come in, and what is behind."""

    prefix: str
    """Starts the name of everything of this stack on the host."""
    settings: Optional[GatewaySettingsArgs]
    """Ports, TLS, clients and limits."""
    network_name: pulumi.Input[str]
    """The isolated network."""
    client_keys: dict[str, pulumi.Input[str]]
    """Client name to key, 32 to 200 characters of A-Z a-z 0-9 _ -. Give secrets."""
    upstream_key: pulumi.Input[str]
    """vLLM's own key, which takes the place of a client's. Give a secret."""
    app_upstream: Optional[str]
    """host:port of the app on the isolated network. Default: no app."""


class Gateway(pulumi.ComponentResource):
    """nginx, the only container with published ports. Listed paths pass, for clients with a key."""

    api_url: pulumi.Output[str]
    """OpenAI-compatible base URL, ends in /v1."""
    app_url: pulumi.Output[str]
    """The app's URL."""
    container_name: pulumi.Output[str]
    """The gateway's container."""
    container_id: pulumi.Output[str]
    """Docker's id of it; there once the gateway serves."""
    metrics_url: pulumi.Output[str]
    """For a Prometheus on the isolated network."""
    metrics_container: pulumi.Output[str]
    """The container that counts."""
    tls_certificate: pulumi.Output[str]
    """What to trust with TLS; empty without."""

    def __init__(self, name: str, args: GatewayArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:Gateway", name, {}, opts)
        gateway = components.Gateway(
            name,
            components.GatewayArgs(
                prefix=args["prefix"],
                settings=settings_from(GatewaySettings, args.get("settings"), "settings"),
                image=resolve_image("nginx"),
                network_name=args["network_name"],
                app_upstream=args.get("app_upstream"),
                client_keys=args["client_keys"],
                upstream_key=args["upstream_key"],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.api_url = gateway.ready.apply(lambda _: gateway.api_url)
        self.app_url = gateway.ready.apply(lambda _: gateway.app_url)
        self.container_name = pulumi.Output.from_input(gateway.container_name)
        # After the gateway's readiness: a rollout that knows the id can tell it who its replicas are.
        self.container_id = pulumi.Output.all(gateway.handle.container_id, gateway.ready).apply(
            lambda both: str(both[0])
        )
        self.metrics_url = pulumi.Output.from_input(gateway.metrics.url)
        self.metrics_container = pulumi.Output.from_input(gateway.metrics.container_name)
        self.tls_certificate = gateway.certificate.pem
        self.register_outputs(
            {
                "apiUrl": self.api_url,
                "appUrl": self.app_url,
                "containerName": self.container_name,
                "containerId": self.container_id,
                "metricsUrl": self.metrics_url,
                "metricsContainer": self.metrics_container,
                "tlsCertificate": self.tls_certificate,
            }
        )


class VllmServerArgs(TypedDict):
    """Which model, how it is served and what it is joined to."""

    prefix: str
    """Starts the name of everything of this stack on the host."""
    model: str
    """A name of the catalog, such as qwen3-8b: the one that the ModelCache holds."""
    revision: Optional[str]
    """The ModelCache's revision, if it has one of its own."""
    settings: Optional[VllmSettingsArgs]
    """Context, cards, replicas and everything else that vLLM is told."""
    card_count: Optional[int]
    """Cards of the host. Default: as many as the replicas need."""
    model_volume: pulumi.Input[str]
    """The ModelCache's volume."""
    network_name: pulumi.Input[str]
    """The isolated network."""
    api_key: pulumi.Input[str]
    """vLLM's own key, as the gateway has it. Give a secret."""
    gateway_container_id: Optional[pulumi.Input[str]]
    """The Gateway's container, which is told who the replicas are. Default: nobody is told."""


class VllmServer(pulumi.ComponentResource):
    """Replicas of one OpenAI-compatible vLLM server. There once every replica has answered a question."""

    container_names: pulumi.Output[list[str]]
    """The container of each replica."""
    ready: pulumi.Output[str]
    """Changes whenever a replica is replaced."""

    def __init__(self, name: str, args: VllmServerArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:VllmServer", name, {}, opts)
        model = model_from(args["model"])
        settings = settings_from(VllmSettings, args.get("settings"), "settings")
        told = args.get("gateway_container_id")
        container = gateway_container(args["prefix"])
        gateway = components.GatewayHandle(container, pulumi.Output.from_input(told), None) if told else None
        revision = args.get("revision") or model.revision
        server = components.VllmServer(
            name,
            components.VllmServerArgs(
                prefix=args["prefix"],
                settings=settings,
                image=resolve_image(settings.image),
                model=model.model_copy(update={"revision": revision}),
                model_path=model_path(model.repo, revision),
                model_mount={"volume_name": args["model_volume"], "container_path": MODELS_PATH, "read_only": True},
                network_name=args["network_name"],
                api_key=args["api_key"],
                card="" if settings.device == "cpu" else settings.device,
                replicas=place(settings, int(args.get("card_count") or settings.replicas * settings.cards_per_replica)),
                gateway=gateway,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.container_names = pulumi.Output.all(*server.container_names).apply(
            lambda names: [str(each) for each in names]
        )
        self.ready = pulumi.Output.all(*server.ready).apply(lambda ids: ",".join(map(str, ids)))
        self.register_outputs({"containerNames": self.container_names, "ready": self.ready})


class PageIndexAppArgs(TypedDict):
    """How documents are answered from, and by which model."""

    prefix: str
    """Starts the name of everything of this stack on the host."""
    settings: Optional[PageIndexSettingsArgs]
    """Limits, and how the app answers."""
    model: str
    """The model that answers, a name of the catalog."""
    context_tokens: int
    """vLLM's maxModelLen."""
    network_name: pulumi.Input[str]
    """The isolated network."""
    vllm_key: pulumi.Input[str]
    """vLLM's own key. Give a secret."""


class PageIndexApp(pulumi.ComponentResource):
    """The official pageindex library behind an HTTP API and a page, on the isolated network."""

    upstream: pulumi.Output[str]
    """host:port for the Gateway's appUpstream."""
    container_name: pulumi.Output[str]
    """The app's container."""
    ready: pulumi.Output[str]
    """There once the app is healthy; changes when it is replaced."""

    def __init__(self, name: str, args: PageIndexAppArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:PageIndexApp", name, {}, opts)
        settings = settings_from(PageIndexSettings, args.get("settings"), "settings")
        tokens = int(args["context_tokens"])
        vllm = VllmSettings.model_validate({"max_model_len": tokens})
        model = model_from(args["model"])
        app = components.PageIndexApp(
            name,
            components.PageIndexAppArgs(
                prefix=args["prefix"],
                settings=settings,
                answer=answer_mode(settings, model, vllm),
                base_image=resolve_image("python"),
                network_name=args["network_name"],
                llm_base_url=inner_url(args["prefix"]),
                llm_api_key=args["vllm_key"],
                models=AskedModels.of_one(tokens, sees=model.sees),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.upstream = pulumi.Output.from_input(app.upstream)
        self.container_name = pulumi.Output.from_input(app.container_name)
        self.ready = app.ready
        self.register_outputs({"upstream": self.upstream, "containerName": self.container_name, "ready": self.ready})


class ChecksArgs(TypedDict):
    """Where to ask, and whom."""

    api_url: str
    """The Gateway's API as clients on this machine reach it, for example http://127.0.0.1:8000/v1."""
    app_url: str
    """The app's URL, for example http://127.0.0.1:3000."""
    api_key: pulumi.Input[str]
    """Any client's key. Give a secret."""
    model: str
    """The model that is to be served, a name of the catalog."""
    network_name: pulumi.Input[str]
    """The isolated network."""
    vllm_container: pulumi.Input[str]
    """A replica's container."""
    prefix: str
    """Starts the name of everything of this stack on the host."""
    bind: Optional[str]
    """The address that ports are published on. Default: 127.0.0.1."""
    triggers: Optional[list[pulumi.Input[str]]]
    """After a change of one of these everything is asked again."""


class Checks(pulumi.ComponentResource):
    """Isolation, inference and documents: the finished stack is asked, and a failing check fails the `up`."""

    results: pulumi.Output[dict[str, Any]]
    """What each check found."""

    def __init__(self, name: str, args: ChecksArgs, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__(f"{PACKAGE}:Checks", name, {}, opts)
        prefix = args["prefix"]
        checks = components.Checks(
            name,
            components.ChecksArgs(
                api_url=args["api_url"],
                app_url=args["app_url"],
                api_key=args["api_key"],
                served_models=[model_from(args["model"]).repo, STABLE_ALIAS],
                network_name=args["network_name"],
                vllm_containers=[args["vllm_container"]],
                metrics_container=container_of(prefix, "gateway-metrics"),
                app_container=container_of(prefix, "app"),
                also_on={},
                gateway_container=gateway_container(prefix),
                bind=args.get("bind") or "127.0.0.1",
                tls_certificate="",
                triggers=args.get("triggers") or [],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.results = checks.results
        self.register_outputs({"results": self.results})
