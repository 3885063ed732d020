"""The plugin's entry: it shows itself once, and whatever fails, the engine goes on."""

import logging
import sys

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge

from loadline_vllm import plugin, presence


class Shown:
    """A registry in place of the engine's, and what is shown in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of a series, None without it."""
        return self.registry.get_sample_value(name, labels)

    def names(self) -> set[str]:
        """Which metrics there are."""
        return {metric.name for metric in self.registry.collect()}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """A fresh process, as far as the plugin can tell."""
    shown = Shown()

    def gauge(name: str, text: str, labelnames: tuple[str, ...], multiprocess_mode: str) -> Gauge:
        assert multiprocess_mode == "max"
        return Gauge(name, text, labelnames, registry=shown.registry)

    monkeypatch.setattr(prometheus_client, "Gauge", gauge)
    monkeypatch.setattr(plugin, "_registered", False)
    for name in ("NAMESPACE", "SERVICE", "POOL", "PLUGIN", "EXPERTS"):
        monkeypatch.delenv(f"LOADLINE_{name}", raising=False)
    return shown


def test_it_shows_that_it_is_there(shown: Shown) -> None:
    plugin.register()
    assert shown(presence.INFO.name, version=presence.package_version()) == 1
    assert shown.names() == {presence.INFO.name}


def test_a_second_call_in_a_process_does_nothing(shown: Shown) -> None:
    plugin.register()
    plugin.register()
    assert shown.names() == {presence.INFO.name}


def test_it_can_be_turned_off(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADLINE_PLUGIN", "0")
    plugin.register()
    assert shown(presence.OFF.name, reason="asked") == 1


def test_a_wrong_setting_turns_it_off_with_a_reason(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LOADLINE_PLUGIN", "perhaps")
    plugin.register()
    assert shown(presence.OFF.name, reason="settings") == 1
    assert "LOADLINE_PLUGIN is 'perhaps'" in caplog.text


def test_a_failure_is_logged_and_shown_and_never_raised(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(presence, "publish_present", broken)
    plugin.register()
    assert shown(presence.OFF.name, reason="failure") == 1
    assert "not today" in caplog.text


def test_not_even_a_broken_metric_is_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("Duplicated timeseries")

    monkeypatch.setattr(prometheus_client, "Gauge", broken)
    monkeypatch.setattr(plugin, "_registered", False)
    with caplog.at_level(logging.ERROR):
        plugin.register()
    assert "could not publish its metric" in caplog.text


def test_layers_of_experts_that_can_not_be_replaced_disable_it(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("LOADLINE_EXPERTS", "observe")
    plugin.register()
    assert shown(presence.OFF.name, reason="failure") == 1
