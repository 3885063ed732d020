"""`loadline demo`: from a recording to the shell, without a demonstration of its own."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadline_cli import demo
from loadline_cli.exits import CommandError
from loadline_cli.outputs import Output
from loadline_cli.report_files import write_report
from loadline_sim.demo import demonstrations
from loadline_sim.plant.recordings import Act, Recording, Requests, RunMeta
from loadline_sim.progress import Progress
from loadline_sim.reports import pages
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.runs import run_of

BUDGET_WATTS = 243_200.0


def recording() -> Recording:
    t_s = np.linspace(0.5, 30.0, 60)
    ones = np.ones(t_s.size)
    requests = Requests(
        service=("chat", "code"),
        priority=("high", "low"),
        arrival_s=np.array([1.0, 2.0]),
        ttft_s=np.array([0.2, 0.3]),
        latency_s=np.array([2.0, 3.0]),
        prompt_tokens=np.array([100, 100]),
        output_tokens=np.array([10, 10]),
    )
    meta = RunMeta(
        name="row-a",
        mode="Enforce",
        servers=52,
        base_servers=40,
        gpus_per_server=8,
        budget_watts=BUDGET_WATTS,
        curve_points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)),
        cooling_s=600.0,
        seed=6,
    )
    row = Recording(
        meta=meta,
        t_s=t_s,
        row_watts=0.9 * BUDGET_WATTS * ones,
        sensor_watts=0.9 * BUDGET_WATTS * ones,
        low_clock_mhz=1275.0 * ones,
        high_clock_mhz=1410.0 * ones,
        limit_watts_sum=166_400.0 * ones,
        heat=0.0 * ones,
        node_t_s=t_s,
        node_watts=np.ones((t_s.size, 52)),
        requests=requests,
    )
    acts = tuple(
        Act(name=name, title=name.title(), start_s=15.0 * i, end_s=15.0 * (i + 1))
        for i, name in enumerate(("observe", "enforce"))
    )
    return row.with_baseline(row).with_story(acts, (), ((0.0, 0.9, 0.95),))


@pytest.fixture(scope="module")
def found() -> Findings:
    return found_in(recording(), run_of(recording(), kind="virtual", reactions=(), measured={}))


def test_what_coordinators_decided_in_virtual_time_is_kept_beside_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def runner(seed: int, progress: Progress, *, journalled: Callable[[str], None]) -> demo.Recorded:
        journalled("{}")
        made = recording()
        return made, run_of(made, kind="virtual", reactions=(), measured={})

    monkeypatch.setattr(demonstrations, "run_virtual", runner)
    demo.demo(virtual=True, out=tmp_path / "out", seed=1, open_report=False, output=Output.JSON)
    assert (tmp_path / "out" / "journal.jsonl").read_text("utf-8") == "{}\n"
    assert "journal: " in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="can't write"):
        demo.demo(virtual=True, out=tmp_path / "file", seed=1, open_report=False, output=Output.JSON)


def test_the_virtual_row_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []

    def runner(seed: int, progress: Progress) -> demo.Recorded:
        for share in (0.0, 0.5, 1.0):
            progress("replaying", share)
        seen.append(seed)
        made = recording()
        return made, run_of(made, kind="virtual", reactions=(), measured={})

    made, run = demo.run_virtually(7, runner)
    assert (seen, made.meta.name, run.kind) == ([7], "row-a", "virtual")
    assert capsys.readouterr().out == ""


def test_without_a_checkout_the_live_demo_says_what_to_do() -> None:
    with pytest.raises(CommandError) as refused:
        demo.live_runner("hack_that_is_not_here.demonstrations")
    assert "needs a checkout" in refused.value.message
    assert "`loadline demo --virtual`" in refused.value.hint


def test_a_package_that_the_checkout_misses_is_not_blamed_on_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conducted_badly.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        demo.live_runner("conducted_badly")


def test_a_failed_check_is_printed_with_its_reason(
    found: Findings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    demo.print_checks(found, Output.TABLE)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "observe_brakes" in line)
    assert row.split() == ["observe_brakes", "promise", "0", "≥", "1", "no:", "0", "is", "not", "≥", "1"]


def test_json_is_the_summary_and_nothing_else(found: Findings, capsys: pytest.CaptureFixture[str]) -> None:
    demo.print_checks(found, Output.JSON)
    assert json.loads(capsys.readouterr().out)["checks"]["enforce_trips"]["ok"] is True


def test_a_report_that_cannot_be_written_says_where(found: Findings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CommandError, match="can't write the report into"):
        write_report(lambda folder: pages.write(found, folder), tmp_path / "file", open_report=False)


def test_an_unmeasured_check_is_neither_kept_nor_missed(found: Findings) -> None:
    (cores,) = (one for one in found.checks if one.name == "cores_busy")
    assert demo.verdict(cores) == "not measured: only the live demo measures it"
    assert demo.verdict(replace(cores, ok=True)) == "yes"
