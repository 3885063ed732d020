"""A policy of any loop is one file and one line of the registry: whoever goes by policies knows it then."""

import json
from dataclasses import dataclass

import pytest
from pydantic import Field

from loadline_cli import main
from loadline_operator.policies.documents import read
from loadline_policies import registry
from loadline_policies.documents import SCHEMA, ServiceDocument, built_in, parse
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import OF_SERVICES, Loop
from loadline_policies.no_op_policies import NoOpPolicy
from loadline_policies.settings import Settings


class TrialSettings(Settings):
    cold_percent: int = Field(5, ge=0, le=100, description="share of tokens of a cold expert")


@dataclass(frozen=True)
class TrialPolicy:
    """What the file of a policy would hold."""

    name: str = "skip-cold"
    summary: str = "Skip experts that hardly any token asks for."
    config: type[Settings] = TrialSettings


TRIAL = TrialPolicy()
TEXT = f"schema: {SCHEMA}\nloop: experts\npolicy: skip-cold\nsettings: {{coldPercent: 7}}\n"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the registry."""
    experts = {**registry.POLICIES[Loop.EXPERTS], TRIAL.name: TRIAL}
    monkeypatch.setitem(registry.POLICIES, Loop.EXPERTS, experts)


def test_every_loop_has_policies_and_no_name_stands_for_two_that_act() -> None:
    assert registry.POLICIES.keys() == set(Loop)
    policies = [policy for of_loop in registry.POLICIES.values() for policy in of_loop.values()]
    names = [policy.name for policy in policies if not isinstance(policy, NoOpPolicy)]
    assert len(names) == len(set(names))
    assert not {*names} & {policy.name for policy in policies if isinstance(policy, NoOpPolicy)}


def test_what_is_built_in_changes_nothing() -> None:
    names = {built_in(loop).policy.name for loop in OF_SERVICES}
    assert names == {"all-tokens", "keep-all", "fixed-pools", "fixed-replicas"}


def test_before_its_line_nobody_knows_the_policy() -> None:
    with pytest.raises(InvalidPolicy, match="use one of all-tokens, capacity-factor"):
        parse(TEXT)


@pytest.mark.usefixtures("registered")
def test_a_document_names_it_and_its_settings_are_read() -> None:
    document = parse(TEXT, Loop.EXPERTS)
    assert isinstance(document, ServiceDocument)
    assert (document.policy, document.config) == (TRIAL, TrialSettings(cold_percent=7))
    assert document.hash != built_in(Loop.EXPERTS).hash
    with pytest.raises(InvalidPolicy, match=r"settings\.coldPercent is 101"):
        parse(TEXT.replace("7", "101"))


@pytest.mark.usefixtures("registered")
def test_the_operator_takes_it_from_a_config_map() -> None:
    metadata = {"name": "cold", "namespace": "team", "labels": {"loadline.dev/policy": "experts"}}
    document = read({"metadata": metadata, "data": {"policy.yaml": TEXT}}, None)
    assert (document.valid, document.policy) == (True, TRIAL.name)
    assert document.good_hash == parse(TEXT).hash


@pytest.mark.usefixtures("registered")
def test_people_find_it_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["policies", "list", "-o", "json"], "loadline") == 0
    listed = json.loads(capsys.readouterr().out)
    (told,) = [one for one in listed if one["name"] == TRIAL.name]
    assert (told["loop"], told["summary"]) == ("experts", TRIAL.summary)
    assert told["settings"][0]["name"] == "coldPercent"
