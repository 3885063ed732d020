"""Settings: flags over environment over defaults, and sentences for what can't be used."""

from pathlib import Path

import pytest

from loadline_agent.settings import Settings, parse
from loadline_policies.errors import InvalidInput


def test_the_promised_defaults() -> None:
    chosen = parse(["--node", "node-0"], environ={})
    assert chosen == Settings(
        node="node-0",
        state_dir=Path("/var/lib/loadline"),
        kubeconfig=None,
        namespace="loadline-system",
        host="127.0.0.1",
        listen="",
        port=9476,
        metrics_port=9478,
        workers_port=None,
        policy_namespaces="",
        pod_resources=Path("/var/lib/kubelet/pod-resources/kubelet.sock"),
        journal=None,
        journal_mib=32,
        journal_observations=False,
        log_level="info",
    )


def test_a_flag_wins_over_its_variable() -> None:
    environ = {"LOADLINE_NODE": "from-environment", "LOADLINE_PORT": "1234"}
    chosen = parse(["--node", "from-flag"], environ=environ)
    assert (chosen.node, chosen.port) == ("from-flag", 1234)


def test_an_empty_variable_is_as_none() -> None:
    assert parse([], environ={"LOADLINE_NODE": "n", "LOADLINE_KUBECONFIG": ""}).kubeconfig is None


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port", "0"),
        ("--port", "many"),
        ("--metrics-port", "70000"),
        ("--workers-port", "70000"),
        ("--log-level", "loud"),
        ("--journal-mib", "1"),
        ("--journal-observations", "maybe"),
        ("--node", ""),
    ],
)
def test_what_cannot_be_used_is_named_with_flag_and_variable(flag: str, value: str) -> None:
    variable = f"LOADLINE_{flag[2:].upper().replace('-', '_')}"
    with pytest.raises(InvalidInput, match=rf"{flag} \({variable}\) is {value!r}"):
        parse([flag, value], environ={})


def test_every_flag_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"], environ={})
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in said for name in Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("text", "namespaces"), [("", set()), ("team-a", {"team-a"}), ("team-a, team-b,", {"team-a", "team-b"})]
)
def test_namespaces_with_policies_of_their_own_are_separated_by_commas(
    text: str, namespaces: set[str]
) -> None:
    assert parse([], environ={"LOADLINE_POLICY_NAMESPACES": text}).own_policies == namespaces


@pytest.mark.parametrize(("host", "address"), [("10.0.0.1", "10.0.0.1:9476"), ("fd00::1", "[fd00::1]:9476")])
def test_the_published_address_brackets_ipv6(host: str, address: str) -> None:
    assert parse(["--node", "n", "--host", host], environ={}).address == address
