"""`loadline study`, from options to the shell, on a few requests each; what was simulated is used again."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadline_cli.exits import Exit

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

SPLITWISE = ("study", "splitwise", "--trace", "azure-chat", "--budget", "power", "--minutes", "0.05")
HOURS = ("--hours", "0.05")


def test_every_study_is_listed_and_has_a_command(loadline: Any) -> None:
    names = [one["name"] for one in json.loads(loadline("study", "list", "-o", "json").out)]
    assert names == ["experts", "splitwise", "power", "bursts"]
    assert all(loadline("study", name, "--help").code == Exit.OK for name in names)


def test_splitwises_designs_are_compared_and_kept(tmp_path: Path, loadline: Any) -> None:
    arguments = (*SPLITWISE, "--out", str(tmp_path), "-o", "json")
    first = loadline(*arguments)
    assert first.code == Exit.OK
    found = json.loads(first.out, parse_constant=pytest.fail)
    assert found == json.loads((tmp_path / "summary.json").read_text("utf-8"))
    again = json.loads(loadline(*arguments).out)
    for one in (found, again):
        one.pop("made")
    assert again == found
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Baseline-A100" in page
    assert "2.15×" in page  # the paper's


def test_bursts_are_compared_with_requests_that_come_independently(tmp_path: Path, loadline: Any) -> None:
    volleys = [f"{volley * 5}.0,{200 + place},20" for volley in range(15) for place in range(20)]
    trace = tmp_path / "volleys.csv"
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *volleys]) + "\n", "utf-8")
    ended = loadline(
        "study", "bursts", "--engine", "h200-llama-3.1-8b-fp8", "--servers", "1", "--trace", str(trace),
        *HOURS, "--out", str(tmp_path / "out"), "-o", "json",
    )  # fmt: skip
    assert ended.code == Exit.OK
    json.loads(ended.out, parse_constant=pytest.fail)
    assert "volleys" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_rows_budget_is_studied_and_its_policy_written(tmp_path: Path, loadline: Any) -> None:
    policy, manifest = tmp_path / "mine.yaml", tmp_path / "power.yaml"
    policy.write_text(
        "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: polca\n"
        "settings: {threshold1Percent: 84}\n",
        "utf-8",
    )
    ended = loadline(
        "study", "power", "--base-servers", "10", "--servers", "10", "--days", "1", "--replay", "0",
        "--policy", str(policy),
        "--emit", str(manifest), "--out", str(tmp_path / "out"), "-o", "json",
    )  # fmt: skip
    assert ended.code == Exit.OK
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert {row["policy"] for row in found["rows"]} >= {"no-cap", "polca", "mine"}
    checked = loadline("policies", "check", str(manifest), "-o", "json")
    assert json.loads(checked.out)[0]["hash"] == found["best"]["policy_hash"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("power", "--servers", "many"), "`--servers` is `many`"),
        (("power", "--servers", "1"), "`servers` is 1"),
        (("power", "--days", "0"), "`days` is 0"),
        (("power", "--policy", "none.yaml"), "can't read `none.yaml`"),
        (("splitwise", "--budget", "space"), "`budget` is 'space'"),
        (("bursts", "--engine", "none", "--servers", "1"), "none"),
    ],
)
def test_what_cannot_be_studied_is_said(
    more: tuple[str, ...], says: str, tmp_path: Path, loadline: Any
) -> None:
    ended = loadline("study", *more, "--out", str(tmp_path / "out"))
    assert ended.code == Exit.COULD_NOT_RUN
    assert says in ended.err
