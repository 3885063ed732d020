"""`loadline simulate` and `loadline size`, from options to the shell, on traces of a few requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadline_cli.exits import Exit

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

ROWS = ["0.0,1000,20", "0.5,100,0", "1.0,2000,30", "1.5,x,5", "2.0,500,10"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *ROWS]) + "\n", "utf-8")
    return path


def arguments(command: str, trace: object, folder: Path, *more: str) -> list[str]:
    return [command, str(trace), "--engine", "h100-bloom-176b", "--out", str(folder / "out"), *more]


def test_a_simulation_prints_what_it_writes(trace: Path, tmp_path: Path, loadline: Any) -> None:
    ended = loadline(*arguments("simulate", trace, tmp_path, "--servers", "2", "--skip-bad", "-o", "json"))
    assert ended.code == Exit.OK
    printed = json.loads(ended.out, parse_constant=pytest.fail)
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert printed["trace"]["requests"] == 3
    assert printed["result"]["kept_share"] == 1.0
    assert printed["fleet"]["gpus"] == 16
    assert "1 bad rows are left out" in ended.err
    assert "row 5 prompt_tokens is 'x'" in ended.err
    assert "1 requests without a prompt or an answer are left out" in ended.err
    assert all(note in (tmp_path / "out" / "report.html").read_text("utf-8") for note in ("1 bad rows",))


def test_missed_objectives_are_a_failure(trace: Path, tmp_path: Path, loadline: Any) -> None:
    ended = loadline(
        *arguments("simulate", trace, tmp_path, "--servers", "1", "--skip-bad", "--ttft-ms", "1")
    )
    assert ended.code == Exit.FAILURE
    assert "0.0 % of the requests keep the objectives; 99.0 % was asked for." in ended.out


def test_a_size_is_a_table_and_a_verdict(tmp_path: Path, loadline: Any) -> None:
    objectives = ("--ttft-ms", "2000", "--tpot-ms", "100", "--hours", "0.1")
    ended = loadline(*arguments("size", "azure-chat", tmp_path, *objectives))
    assert ended.code == Exit.OK
    assert ended.out.startswith("engine            fewest servers")
    assert max(map(len, ended.out.split("\n\n")[0].splitlines())) <= 80
    assert "BLOOM-176B on eight H100-80GB" in ended.out
    found = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert [one["prefill_servers"] > 0 for one in found["sizes"]] == [False, True]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            ("--servers", "2"),
            "`requests.csv row 5 prompt_tokens` is 'x'\nhint: give a whole number of tokens",
        ),
        (("--servers", "2", "--columns", "nope"), "`columns` is 'nope'\nhint: write arrival=NAME"),
        (("--servers", "2", "--rate", "0"), "invalid value for `--rate`"),
        (
            ("--servers", "2", "--skip-bad", "--prefill-servers", "2"),
            "`prefill servers` is 2\nhint: give 0 to 1",
        ),
        (("--servers", "2", "--hours", "-1"), "invalid value for `--hours`"),
        (("--servers", "2", "--ttft-ms", "nan"), "invalid value for `--ttft-ms`"),
        (("--servers", "0"), "invalid value for `--servers`"),
    ],
)
def test_bad_input_is_refused_by_name_with_its_fix(
    trace: Path,
    tmp_path: Path,
    loadline: Any,
    more: tuple[str, ...],
    says: str,
) -> None:
    ended = loadline(*arguments("simulate", trace, tmp_path, *more))
    assert ended.code == Exit.COULD_NOT_RUN
    assert says in ended.err


def test_a_trace_that_is_not_there_is_refused_with_the_names(tmp_path: Path, loadline: Any) -> None:
    ended = loadline(*arguments("simulate", tmp_path / "no.csv", tmp_path, "--servers", "1"))
    assert ended.code == Exit.COULD_NOT_RUN
    assert "no such file or directory" in ended.err
    assert "azure-chat, azure-code, servegen-large, agents" in ended.err


def test_requests_that_no_server_holds_are_left_out_and_counted(tmp_path: Path, loadline: Any) -> None:
    ended = loadline(*arguments("simulate", "agents", tmp_path, "--servers", "4", "--hours", "0.2"))
    assert ended.code == Exit.OK
    assert "are longer than a server holds; they are left out." in ended.err


def test_priorities_of_a_trace_are_followed_where_it_has_some(tmp_path: Path, loadline: Any) -> None:
    path = tmp_path / "requests.csv"
    rows = ["0.0,9000,200,1", "0.1,9000,200,1", "0.2,9000,200,1", "0.3,900,20,0"]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens,priority", *rows]) + "\n", "utf-8")

    def median_s(policy: str) -> float:
        ended = loadline(
            *arguments("simulate", path, tmp_path, "--servers", "1", "--max-num-seqs", "1", "-o", "json"),
            "--scheduling-policy", policy,
        )  # fmt: skip
        value: float = json.loads(ended.out)["result"]["ttft_s"]["p50"]
        return value

    assert median_s("priority") < median_s("fcfs")
    refused = loadline(
        *arguments("simulate", "azure-chat", tmp_path, "--servers", "9"), "--scheduling-policy", "priority"
    )
    assert refused.code == Exit.COULD_NOT_RUN
    assert "give a trace with a column `priority`" in refused.err


def test_agents_are_sent_after_what_servers_kept(tmp_path: Path, loadline: Any) -> None:
    def share(*more: str) -> float | None:
        ended = loadline(
            "simulate", "agents", "--engine", "h200-llama-3.1-8b-fp8", "--servers", "16", "--hours", "0.05",
            "--out", str(tmp_path), "-o", "json", *more,
        )  # fmt: skip
        found: float | None = json.loads(ended.out)["prefix_hit_share"]
        return found

    queues, prefixes = share(), share("--router", "prefix-aware")
    assert queues is not None
    assert prefixes is not None
    assert 0.0 < queues < prefixes < 1.0
    assert share("--no-prefix-cache") is None
