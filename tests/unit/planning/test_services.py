"""Each service of a stack is described once, without an engine, and the descriptions agree with each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from planning.hosts.names import FILES_PATH
from planning.rules.scans import OcrServer
from planning.services.app import AskedModels, app_service
from planning.services.gateway import gateway_config, gateway_service
from planning.services.gateway_metrics import gateway_metrics_service
from planning.services.service import FILES_VOLUME, Service, Volume
from planning.services.vllm import MODELS_VOLUME, vllm_service
from planning.settings.gateway import GatewaySettings
from planning.stack_files import ROOT, plan_of_file

STACK_FILES = sorted(ROOT.glob("Pulumi.*.yaml"))


def services_of(path: Path) -> list[Service]:
    plan = plan_of_file(path)
    settings = plan.settings
    weights = Volume(name=MODELS_VOLUME, path="/models", read_only=True)
    return [
        gateway_service(settings.gateway, gateway_config(settings.gateway, plan.prefix, "pageindex:3000")),
        gateway_metrics_service(),
        app_service(
            settings.pageindex,
            answer=plan.answer,
            llm_base_url="http://gateway:8083/v1",
            models=plan.asked,
            ocr=None,
            has_ocr_key=False,
        ),
        *(
            vllm_service(
                settings.vllm,
                image=plan.default.image,
                model=plan.default.model,
                model_path="/models/m",
                weights=weights,
                replica=replica,
            )
            for replica in plan.default.replicas
        ),
    ]


@pytest.fixture(params=STACK_FILES, ids=lambda path: path.name)
def services(request: pytest.FixtureRequest) -> list[Service]:
    return services_of(request.param)


def test_the_gateway_alone_publishes_ports_and_leaves_the_internal_network(services: list[Service]) -> None:
    assert [service.component for service in services if not service.isolated] == ["gateway"]


def test_whoever_reaches_a_service_shares_a_network_with_it(services: list[Service]) -> None:
    by_component = {service.component: service for service in services}
    for service in services:
        for caller in service.reached_by:
            assert set(by_component[caller].networks) & set(service.networks), (caller, service.component)


def test_replicas_are_reached_by_the_gateway_and_by_the_metrics_that_ask_them(services: list[Service]) -> None:
    [callers] = {service.reached_by for service in services if service.component == "vllm"}
    assert set(callers) == {"gateway", "gateway-metrics"}


def test_no_service_runs_as_root_and_each_reads_its_files_by_group_0(services: list[Service]) -> None:
    for service in services:
        user, group = service.user.split(":")
        assert int(user) > 0
        assert group == "0"


def test_what_serves_requests_has_a_health_check_and_time_to_finish_them(services: list[Service]) -> None:
    for service in services:
        if service.reached_by:
            assert service.health is not None, service.component
            assert service.stop_grace_s, service.component


def test_replicas_differ_in_their_cards_alone() -> None:
    [first, second] = [each for each in services_of(ROOT / "Pulumi.rtx5090-replicas.yaml") if each.component == "vllm"]
    assert first.cards != second.cards
    assert first.command == second.command
    assert first.environment == second.environment
    assert first.identity != second.identity


def test_no_secret_has_a_content_in_a_description(services: list[Service]) -> None:
    for service in services:
        assert not service.secret_files & set(service.files), service.component


def test_tls_files_are_secret_files_of_a_gateway_with_tls_alone() -> None:
    def secret_files(**settings: object) -> frozenset[str]:
        gateway = GatewaySettings.model_validate(settings)
        return gateway_service(gateway, gateway_config(gateway, "pageindex-x", None)).secret_files

    assert secret_files(tls="self-signed") - secret_files() == {"tls.crt", "tls.key"}


def test_files_without_a_place_are_refused() -> None:
    with pytest.raises(ValueError, match="no volume"):
        Service(component="x", user="1:0", networks=("internal",), files={"a": "b"})
    Service(
        component="x",
        user="1:0",
        networks=("internal",),
        files={"a": "b"},
        volumes=(Volume(name=FILES_VOLUME, path=FILES_PATH, read_only=True),),
    )


def test_the_app_needs_the_other_stack_whose_network_it_joins() -> None:
    plan = plan_of_file(ROOT / "Pulumi.dev.yaml")
    app = app_service(
        plan.settings.pageindex,
        answer="two-step",
        llm_base_url="http://g:8083/v1",
        models=AskedModels.of_one(8192),
        ocr=OcrServer("http://pageindex-ocr-gateway:8080/v1", "default", "ocr"),
        has_ocr_key=True,
    )
    assert app.needs == ("other-stack",)
    assert app.networks == ("internal", "other-stack")
    assert app.isolated
    assert app.secret_files == {"vllm-key", "ocr-key"}
