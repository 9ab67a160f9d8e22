"""What several models add to nginx's configuration, and that one model adds none of it."""

from __future__ import annotations

import pytest

from planning.gateway.config import GatewayConfig, RoutedModel
from planning.gateway.nginx_conf import render_nginx_conf
from planning.services.gateway import gateway_config
from planning.settings.gateway import ClientSettings, GatewaySettings

ONE = RoutedModel(names=("default", "a/b"), repo="a/b", max_model_len=8192)
TWO = tuple(ONE.model_copy(update={"name": name, "names": (name,)}) for name in ("chat", "quick"))
OF_SEVERAL = ("$plain_spelling", "$target", "$of_target", "$route", "$model_list", "mirror /", "/-routed")


@pytest.mark.parametrize("models", [(), (ONE,)])
def test_with_one_model_nothing_depends_on_a_body(models: tuple[RoutedModel, ...]) -> None:
    text = render_nginx_conf(GatewayConfig(models=models))
    assert [word for word in OF_SEVERAL if word in text] == []
    assert ("$model_page" in text) is bool(models)


def test_with_several_all_of_it_is_there() -> None:
    text = render_nginx_conf(GatewayConfig(models=TWO))
    assert [word for word in OF_SEVERAL if word not in text] == []


@pytest.mark.parametrize("models", [(ONE,), TWO])
def test_the_tokenizer_is_open_only_where_a_stack_turns_it_on(models: tuple[RoutedModel, ...]) -> None:
    shut, opened = (
        render_nginx_conf(gateway_config(GatewaySettings(tokenize=on), "s", None, models)) for on in (False, True)
    )
    assert "tokenize" not in shut
    assert opened.count("location = /tokenize {") == opened.count("location = /detokenize {") == 2, "and for the app"
    routes = [f'"{model.name} /tokenize" 0;' in opened for model in TWO]
    assert routes == [models is TWO] * 2


def test_limits_of_single_models_add_nothing_where_no_client_has_one() -> None:
    limited = ClientSettings(model_requests_per_minute={"chat": 20})
    for models, clients, there in (
        (TWO, {"alice": limited}, True),
        (TWO, {}, False),
        ((ONE,), {"alice": limited}, False),
    ):
        text = render_nginx_conf(GatewayConfig(models=models, clients=clients))
        assert ("-counted" in text, "model_requests_20" in text, "$model_retry_after" in text) == (there,) * 3
