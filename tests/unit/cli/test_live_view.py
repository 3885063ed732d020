"""The live view: what must be seen fits on 80 × 24, and says nothing by colour alone."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadline_cli import charts, panels
from loadline_cli.live_view import PLAIN_EVERY_S, Frame, LiveView, is_news, plain_line
from loadline_sim.reports.snapshots import ActNow, JournalLine, ServiceNow, Snapshot, Stage

TITLES = ("Observe", "Enforce", "Edit the policy", "Kill the coordinator", "Stop the API server")
ROW = Snapshot(
    at_s=161.0,
    domain="row-a",
    servers=52,
    provisioned_servers=40,
    mode="Enforce",
    level="LowShallow",
    row_watts=218_880.0,
    budget_watts=243_200.0,
    heat=0.12,
    thresholds=(0.9, 0.95),
    history_watts=tuple(170_000.0 + 300 * i for i in range(161)),
    services=(
        ServiceNow(
            name="chat",
            priority="high",
            servers=26,
            capped=0,
            clock_mhz=1410,
            p50_s=6.31,
            p99_s=31.2,
            uncapped_p50_s=6.30,
            uncapped_p99_s=30.9,
        ),
        ServiceNow(name="code", priority="low", servers=26, capped=26, clock_mhz=1275),
    ),
    acts=(
        *(ActNow(number=i, title=TITLES[i - 1], stage=Stage.DONE, note="as it should") for i in (1, 2)),
        ActNow(number=3, title=TITLES[2], stage=Stage.RUNNING, share=0.4, note="T1 to 88 % in 1.1 s"),
        *(ActNow(number=i, title=TITLES[i - 1], stage=Stage.WAITING) for i in (4, 5)),
        ActNow(number=6, title="Stop an agent", stage=Stage.WAITING),
        ActNow(number=7, title="Stress", stage=Stage.WAITING),
        ActNow(number=8, title="Release", stage=Stage.WAITING),
    ),
    journal=tuple(JournalLine(100.0 + i, f"node-{i:02d}: LowShallow") for i in range(20)),
)


def drawn(snapshot: Snapshot, width: int, height: int) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    console.print(Frame(snapshot), height=height)
    return file.getvalue().rstrip("\n").splitlines()


def test_on_80_by_24_everything_that_matters_is_seen() -> None:
    lines = drawn(ROW, 80, 24)
    text = "\n".join(lines)
    assert len(lines) <= 24
    for said in (
        "218.9 kW of 243.2 kW", "90.0%", "Enforce", "LowShallow", "0 of 26", "26 of 26", "1275 MHz",
        "▶ 3 Edit the policy", "T1 to 88 %", "8 Release", "budget", "node-19",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 40), (240, 70), (60, 16)])
def test_no_line_is_longer_than_the_terminal_and_none_is_below_it(width: int, height: int) -> None:
    lines = drawn(ROW, width, height)
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_a_wide_terminal_shows_acts_and_journal_side_by_side() -> None:
    (line,) = (line for line in drawn(ROW, 140, 40) if "8 Release" in line)
    assert ": LowShallow" in line


def test_a_row_above_its_budget_says_so_in_a_word() -> None:
    above = replace(ROW, row_watts=250_000.0)
    assert "ABOVE" in "\n".join(drawn(above, 80, 24))
    assert "ABOVE" not in "\n".join(drawn(ROW, 80, 24))
    assert "TRIPPED 1×" in "\n".join(drawn(replace(above, trips=1), 80, 24))


def test_a_latency_that_is_not_known_yet_is_a_dash() -> None:
    (line,) = (line for line in drawn(ROW, 80, 24) if line.startswith("code"))
    assert line.split()[-4:] == ["–"] * 4


def test_without_a_terminal_a_line_comes_when_something_changes() -> None:
    file = io.StringIO()
    with LiveView(Console(file=file, width=200)) as view:
        for at_s in range(161, 170):
            view.show(replace(ROW, at_s=float(at_s), level="Normal" if at_s < 165 else "LowDeep"))
    first, second = file.getvalue().splitlines()
    assert (first[:5], second[:5]) == ("02:41", "02:45")
    assert "act 3 Edit the policy" in first
    assert "LowDeep" in second


def test_without_a_terminal_a_quiet_row_is_heard_of_now_and_then() -> None:
    assert not is_news(replace(ROW, at_s=ROW.at_s + PLAIN_EVERY_S - 1), ROW)
    assert is_news(replace(ROW, at_s=ROW.at_s + PLAIN_EVERY_S), ROW)


def test_a_journal_line_is_told_once() -> None:
    assert plain_line(ROW).endswith("| node-19: LowShallow")
    assert "|" not in plain_line(ROW, ROW)


def test_what_is_prepared_is_told_once_without_a_terminal() -> None:
    file = io.StringIO()
    with LiveView(Console(file=file, width=200)) as view:
        for share in (0.0, 0.5, 1.0):
            view.prepare("building kube-apiserver", share)
    assert file.getvalue() == "building kube-apiserver\n"


@given(st.floats(-1.0, 2.0), st.integers(1, 200), st.lists(st.floats(0.0, 1.0), max_size=3))
def test_a_bar_is_as_wide_as_asked(share: float, width: int, marks: list[float]) -> None:
    assert len(charts.bar(share, width, style="cyan", marks=marks)) == width


@given(st.lists(st.floats(0.0, 2.0), max_size=100), st.integers(1, 60), st.integers(1, 12))
def test_a_curve_is_as_wide_and_as_high_as_asked(values: list[float], width: int, height: int) -> None:
    lines = charts.curve(values, width=width, height=height, low=0.6, high=1.1, style=lambda _: "")
    assert [len(line) for line in lines] == [width] * height


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=100), st.integers(1, 5), st.integers(0, 9))
def test_condensing_loses_no_peak(values: list[float], size: int, steps: int) -> None:
    stretches = charts.condensed(values, size=size, newest=steps % size)
    assert max(stretches) == max(values)
    assert len(stretches) <= len(values)


def test_a_stretch_keeps_its_value_while_others_come() -> None:
    before = charts.condensed([1.0, 2.0, 3.0, 4.0], size=2, newest=0)
    after = charts.condensed([1.0, 2.0, 3.0, 4.0, 9.0], size=2, newest=1)
    assert after == [*before, 9.0]


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.0421, "42 ms"), (0.912, "912 ms"), (6.314, "6.31 s")]
)
def test_latencies_have_their_unit(value: float | None, shown: str) -> None:
    assert panels.seconds(value) == shown


def test_labels_that_would_touch_are_moved_or_left_out() -> None:
    labels = charts.scale([(0.0, "0"), (0.82, "90%"), (0.86, "95%"), (0.91, "budget")], 80).plain
    assert labels.split() == ["0", "90%", "95%", "budget"]
    assert charts.scale([(0.5, "50%"), (0.51, "51%")], 20).plain.split() == ["50%"]
