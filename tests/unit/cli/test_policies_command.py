"""`loadline policies`: the registry as tables, and documents judged as the operator judges them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from loadline_cli.exits import Exit
from loadline_policies import documents
from loadline_policies.registry import POLICIES

GOOD = """\
schema: policies.loadline.dev/v1alpha1
loop: power
policy: polca
settings:
  threshold1Percent: 90
  threshold2Percent: 95
"""
CONFIG_MAP = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: power}}
data:
  policy.yaml: |
    {GOOD.replace(chr(10), chr(10) + "    ").rstrip()}
"""


@pytest.fixture
def document(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "power.yaml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_every_registered_policy_is_listed_with_its_settings(loadline: Any) -> None:
    listed = json.loads(loadline("policies", "list", "-o", "json").out)
    assert [(one["loop"], one["name"]) for one in listed] == [
        (loop, name) for loop, policies in POLICIES.items() for name in policies
    ]
    assert all(one["summary"] for one in listed)
    assert all(one["description"] for policy in listed for one in policy["settings"])


def test_a_loop_lists_its_own_policies(loadline: Any) -> None:
    listed = json.loads(loadline("policies", "list", "kv", "-o", "json").out)
    names = ("keep-all", "predicted-memory")
    assert [(one["loop"], one["name"]) for one in listed] == [("kv", name) for name in names]


def test_a_document_of_a_loop_over_services_is_judged_too(loadline: Any, document: Any) -> None:
    text = "schema: policies.loadline.dev/v1alpha1\nloop: kv\npolicy: keep-all\n"
    (told,) = json.loads(loadline("policies", "check", document(text), "-o", "json").out)
    assert told.keys() == {"document", "loop", "policy", "hash", "settings"}
    assert told["hash"] == documents.parse(text).hash
    assert "keep-all (kv)" in loadline("policies", "check", document(text)).out


def test_one_policy_is_a_table(loadline: Any, same_as_before: Any) -> None:
    same_as_before("policies-list-static-cap", loadline("policies", "list", "static-cap").out)


def test_a_valid_document_is_shown_as_it_would_be_in_force(loadline: Any, document: Any) -> None:
    ended = loadline("policies", "check", document(GOOD), "-o", "json")
    (told,) = json.loads(ended.out)
    assert ended.code == Exit.OK
    assert told["hash"] == documents.parse_power(GOOD).hash
    assert (told["settings"]["threshold1Percent"], told["settings"]["lowDeepMhz"]) == (90, 1110)


def test_the_table_shows_defaults_only_where_they_differ(loadline: Any, document: Any) -> None:
    rows = [line.split() for line in loadline("policies", "check", document(GOOD)).out.splitlines()]
    assert ["threshold1Percent", "90", "80"] in rows
    assert ["lowDeepMhz", "1110"] in rows


def test_a_config_map_is_judged_by_its_data(loadline: Any, document: Any) -> None:
    (told,) = json.loads(loadline("policies", "check", document(CONFIG_MAP), "-o", "json").out)
    assert told["document"].endswith("power.yaml: data.policy.yaml")
    assert told["hash"] == documents.parse_power(GOOD).hash


def test_a_document_may_come_from_stdin(loadline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(CONFIG_MAP))
    assert loadline("policies", "check", "-").code == Exit.OK


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        (
            GOOD.replace("90", "97"),
            "`settings.threshold1Percent` is 97",
            "set it below threshold2Percent (95)",
        ),
        (GOOD + "  brakeHerz: 1\n", "`settings.brakeHerz` is 1", "remove it or use one of"),
        (GOOD.replace("polca", "polka"), "`policy` is 'polka'", "use one of no-cap"),
        ("kind: ConfigMap\n", "is a ConfigMap without `data`", "put the policy document under one key"),
        ("a: [", "`line 1` is 'a: ['", "fix the YAML syntax of this line"),
    ],
    ids=["order", "unknown-key", "unknown-policy", "empty-config-map", "broken-yaml"],
)
def test_an_invalid_document_is_the_users_failure_and_says_the_fix(
    text: str, error: str, hint: str, loadline: Any, document: Any
) -> None:
    ended = loadline("policies", "check", document(text))
    first, second = ended.err.splitlines()
    assert ended.code == Exit.FAILURE
    assert ended.out == ""
    assert (first[:8], second[:6]) == ("error: `", "hint: ")
    assert error in first
    assert hint in second


def test_a_file_that_is_not_text_could_not_be_read(loadline: Any, tmp_path: Path) -> None:
    path = tmp_path / "power.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert loadline("policies", "check", str(path)).code == Exit.COULD_NOT_RUN
