"""What the plugin is told by its environment."""

import pytest

from loadline_policies.errors import InvalidInput
from loadline_vllm import settings


def test_nothing_is_asked_for_by_default() -> None:
    assert settings.read({}) == settings.Settings(namespace=None, service=None, pool=None, plugin=True)
    assert settings.read({}).worker is None


def test_it_knows_its_place() -> None:
    told = {"LOADLINE_NAMESPACE": "team", "LOADLINE_SERVICE": "chat", "LOADLINE_POOL": "decode"}
    assert settings.read(told) == settings.Settings(namespace="team", service="chat", pool="decode")


@pytest.mark.parametrize(("text", "on"), [("0", False), ("false", False), ("1", True), ("true", True)])
def test_it_may_be_turned_off(text: str, on: bool) -> None:
    assert settings.read({"LOADLINE_PLUGIN": text}).plugin is on


def test_what_is_meant_for_others_is_let_be() -> None:
    assert settings.read({"LOADLINE_STATE_DIR": "/var/lib"}) == settings.read({})


def test_a_wrong_value_is_refused_by_the_variables_name() -> None:
    with pytest.raises(InvalidInput, match=r"LOADLINE_NAMESPACE is 'n+': string should have at most 63"):
        settings.read({"LOADLINE_NAMESPACE": "n" * 64})


@pytest.mark.parametrize("agent", ["ftp://a:1", "http://a:1/path", "a:1", "http://" + "a" * 512])
def test_what_is_no_agents_address_is_refused(agent: str) -> None:
    with pytest.raises(InvalidInput, match="LOADLINE_AGENT is "):
        settings.read({"LOADLINE_AGENT": agent})


def test_layers_of_experts_stay_as_vllm_builds_them_unless_asked_otherwise() -> None:
    assert settings.read({}).experts == "off"


@pytest.mark.parametrize(
    ("environment", "must"),
    [
        ({}, False),
        ({"LOADLINE_RETENTION": "enforce"}, False),
        ({"LOADLINE_RETENTION_ON_PROBE_FAILURE": "refuse"}, False),
        ({"LOADLINE_RETENTION": "observe", "LOADLINE_RETENTION_ON_PROBE_FAILURE": "refuse"}, False),
        ({"LOADLINE_RETENTION": "enforce", "LOADLINE_RETENTION_ON_PROBE_FAILURE": "refuse"}, True),
    ],
    ids=str,
)
def test_an_engine_must_bound_only_if_both_say_so(environment: dict[str, str], must: bool) -> None:
    assert settings.must_bound(environment) is must
    assert settings.must_bound({**environment, "LOADLINE_RETENTION_POLICY": "nonsense"}) is must
    settings.read(environment)


def test_retention_is_no_longer_on_without_a_word_of_how_far() -> None:
    with pytest.raises(InvalidInput, match=r"LOADLINE_RETENTION is 'on': .*'off', 'observe' or 'enforce'"):
        settings.read({"LOADLINE_RETENTION": "on"})
