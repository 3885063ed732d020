"""`loadline simulate --from-journal`: what is the same, what differs, and what can't be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadline_cli.exits import Exit
from tests.unit.crds.test_power_journals import Bench, document

POLICY = """
schema: policies.loadline.dev/v1alpha1
loop: power
policy: polca
settings: {threshold1Percent: %d}
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    bench = Bench(document(), observations=True)
    bench.draw([0.5, 0.6, 0.75, 0.7, 0.85, 0.7], every_s=1.0)
    bench.power.flush()
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in bench.written), "utf-8")
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "power.yaml"
    path.write_text(POLICY % 70, "utf-8")
    return path


def test_the_same_decisions_are_counted_by_policy_and_document(journal: Path, loadline: Any) -> None:
    ended = loadline("simulate", "--from-journal", str(journal))
    assert ended.code == Exit.OK
    assert "PowerDomain row, led by node-0 in 1 term" in " ".join(ended.out.split())
    assert f"power/polca   {document().hash}           6          6           0" in ended.out
    assert ended.out.endswith("All 6 compared decisions are the same.\n")
    assert not ended.err


def test_another_document_is_told_with_levels_draw_and_the_first_differences(
    journal: Path, policy: Path, loadline: Any
) -> None:
    ended = loadline("simulate", "--from-journal", str(journal), "--policy", str(policy))
    assert ended.code == Exit.FAILURE
    assert f"replayed with polca, document {document(threshold1Percent=70).hash}" in ended.out
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["Normal", "LowShallow", "2", "2", "s", "75.0%", "0.8", "kW"] in rows
    assert ["4", "00:00:03.000", "power/polca", "level", '"Normal"', '"LowShallow"'] in rows
    assert "2 of 6 compared decisions differ." in ended.out
    assert "loads are those recorded" in ended.err


def test_json_has_it_all_and_nothing_else_is_on_stdout(journal: Path, policy: Path, loadline: Any) -> None:
    ended = loadline("simulate", "--from-journal", str(journal), "--policy", str(policy), "-o", "json")
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert (found["compared"], found["same"], found["all_same"]) == (6, 4, False)
    assert found["policy"] == {"name": "polca", "hash": document(threshold1Percent=70).hash}
    assert found["differences"][0] == {
        "file": "journal.jsonl", "line": 4, "time": "1970-01-01T00:00:03.000+00:00", "decider": "power/polca",
        "field": "level", "recorded": "Normal", "replayed": "LowShallow", "draw_watts": 750.0,
    }  # fmt: skip
    assert {"recorded": "LowShallow", "replayed": "LowShallow"}.items() <= found["levels"][2].items()


def test_the_recorded_document_as_another_one_is_said_to_be_the_same(
    journal: Path, tmp_path: Path, loadline: Any
) -> None:
    (tmp_path / "same.yaml").write_text(POLICY % 80, "utf-8")
    ended = loadline("simulate", "--from-journal", str(journal), "--policy", str(tmp_path / "same.yaml"))
    assert ended.code == Exit.OK
    assert f"document {document().hash} (the recorded one)" in ended.out


def test_what_was_left_out_or_cannot_be_compared_is_said(journal: Path, loadline: Any) -> None:
    lines = journal.read_text("utf-8").splitlines()
    journal.write_text("\n".join(["{bad}", *lines[1:], lines[0][:50]]), "utf-8")
    refused = loadline("simulate", "--from-journal", str(journal))
    assert refused.code == Exit.COULD_NOT_RUN
    assert "journal.jsonl line 1 entry" in refused.err
    assert "--skip-bad" in refused.err
    ended = loadline("simulate", "--from-journal", str(journal), "--skip-bad")
    assert ended.code == Exit.FAILURE, "what couldn't be compared isn't the same"
    assert "1 bad lines are left out" in ended.err
    assert "journal.jsonl line 8 is cut" in ended.err
    assert (
        f"6 decisions can't be replayed: the journal doesn't hold their document {document().hash}"
        in ended.err
    )
    assert "All 0 compared decisions are the same; 6 could not be compared." in ended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from-journal", "no.jsonl"), "can't read `no.jsonl`: no such file or directory"),
        (("--from-journal", "FILE", "azure-chat"), "`TRACE` means nothing to `--from-journal`"),
        (("--from-journal", "FILE", "--rate", "2"), "`--rate` means nothing to `--from-journal`"),
        (("--from-journal", "FILE", "--policy", "no.yaml"), "can't read `no.yaml`"),
        (("--policy", "power.yaml", "azure-chat"), "`--policy` is given without `--from-journal`"),
        ((), "`TRACE` is missing, and so is `--from-journal`"),
        (("azure-chat",), "`--engine` is missing"),
        (("azure-chat", "--engine", "h100-bloom-176b"), "`--servers` is missing"),
    ],
)
def test_what_cannot_run_is_said_by_name(
    journal: Path, loadline: Any, arguments: tuple[str, ...], says: str
) -> None:
    ended = loadline("simulate", *(str(journal) if one == "FILE" else one for one in arguments))
    assert ended.code == Exit.COULD_NOT_RUN
    assert says in ended.err
    assert not ended.out


def test_a_journal_without_power_decisions_has_nothing_to_replay(tmp_path: Path, loadline: Any) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("", "utf-8")
    ended = loadline("simulate", "--from-journal", str(path))
    assert ended.code == Exit.COULD_NOT_RUN
    assert "there is no decision of a power policy in journal.jsonl" in ended.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (POLICY % 95, "settings.threshold1Percent"),
        (
            "schema: policies.loadline.dev/v1alpha1\nloop: kv\npolicy: predicted-memory\n",
            "is a policy of the loop kv",
        ),
        ("kind: ConfigMap\ndata: {a: '', b: ''}\n", "`document` is"),
    ],
)
def test_a_policy_that_cannot_be_replayed_is_refused(
    journal: Path, policy: Path, loadline: Any, text: str, says: str
) -> None:
    policy.write_text(text, "utf-8")
    ended = loadline("simulate", "--from-journal", str(journal), "--policy", str(policy))
    assert ended.code == Exit.COULD_NOT_RUN
    assert says in ended.err
