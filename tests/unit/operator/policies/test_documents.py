"""A broken edit of a policy keeps the last good one."""

from pathlib import Path

import pytest
import yaml

from loadline_operator.kube.kinds import Manifest
from loadline_operator.policies.documents import Document, read
from loadline_policies.loops import OF_SERVICES, Loop

EXAMPLES = Path(__file__).parents[4] / "examples"
GOOD = "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: no-cap\n"


def config_map(text: str | None, label: str = "power") -> Manifest:
    metadata = {"name": "p", "labels": {"loadline.dev/policy": label}}
    return {"metadata": metadata, "data": {"policy.yaml": text} if text is not None else {"other": ""}}


def test_a_good_document_has_a_hash() -> None:
    document = read(config_map(GOOD), None)
    assert document.valid
    assert document.policy == "no-cap"
    assert document.good_hash


def test_a_broken_edit_keeps_the_last_good_hash() -> None:
    before = read(config_map(GOOD), None)
    after = read(config_map(GOOD + "settings: {x: 1}\n"), before)
    assert not after.valid
    assert after.good_hash == before.good_hash
    assert "settings.x" in (after.fault or "")


def test_a_document_that_was_never_good_has_no_hash() -> None:
    assert read(config_map("- no"), None).good_hash is None


def test_the_key_that_is_missing_is_named() -> None:
    document = read(config_map(None), None)
    assert "policy.yaml" in (document.fault or "")
    assert "other" in (document.fault or "")


def test_a_fixed_document_is_good_again() -> None:
    broken = Document(loop=Loop.POWER, good_hash=None, policy=None, fault="x")
    assert read(config_map(GOOD), broken).valid


def test_a_document_is_of_the_loop_that_its_label_names() -> None:
    other = GOOD.replace("power", "kv").replace("no-cap", "keep-all")
    assert read(config_map(other, "kv"), None).loop is Loop.KV
    fault = read(config_map(other, "experts"), None).fault or ""
    assert (
        fault
        == "loop is 'kv': set it to `experts`, or change the ConfigMap's label loadline.dev/policy to `kv`"
    )


def test_a_label_that_names_no_loop_is_told_the_loops() -> None:
    document = read(config_map(GOOD, "powr"), None)
    assert document.loop is None
    told = "'powr': set the label to one of power, experts, kv, kv-retention, phases, sizing"
    assert told in (document.fault or "")


def test_power_policies_lie_in_the_system_namespace_alone() -> None:
    fault = read(config_map(GOOD), None, loops=OF_SERVICES).fault or ""
    assert "move the power policy to Loadline's namespace" in fault


def test_a_document_that_changes_its_loop_keeps_nothing_of_the_other() -> None:
    before = read(config_map(GOOD), None)
    assert read(config_map("- no", "kv"), before).good_hash is None


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_policies_of_the_examples_are_good(example: Path) -> None:
    documents = [one for one in yaml.safe_load_all(example.read_text()) if one["kind"] == "ConfigMap"]
    assert all(read(one, None).valid for one in documents)
    assert documents or example.stem != "chat-policy"
