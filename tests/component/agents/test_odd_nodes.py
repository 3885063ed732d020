"""Rows of agents as processes, one of them on a node that isn't like the others: the row is held."""

import signal
import urllib.error
from pathlib import Path

import pytest

from testbed.doubles.rows import LoneRow
from testbed.fakegpu.board import Board, GpuSpec
from testbed.limit_watchers import LimitWatcher

BUDGET_WATTS = 8_500.0
"""Of three nodes: their hosts, and about two thirds of what their GPUs could draw."""


def held(row: LoneRow, *, but: int = 0) -> bool:
    """Whether so many GPUs, and all others not, are left at what they may draw."""
    return sum(limit >= 395.0 for node in row.nodes for limit in row.limits(node)) == but


def drawn_watts(row: LoneRow) -> float:
    """What the row draws where every GPU would draw 395 W."""
    return sum(500.0 + sum(min(395.0, limit) for limit in row.limits(node)) for node in row.nodes)


@pytest.mark.slow
def test_a_row_with_a_node_without_gpus_is_enforced(tmp_path: Path) -> None:
    with LoneRow(tmp_path, bare=("node-2",), budget_watts=0.7 * BUDGET_WATTS) as row:
        row.start()
        row.wait(row.enforced)
        row.draw(395.0)
        row.wait(lambda: held(row, but=8))
        assert row.metric("node-0", 'loadline_power_domain_silent_nodes{domain="row"}') == 0.0
        assert row.metric("node-2", "loadline_power_node_watts") == 500.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unreadable", "lost", "without a range"])
def test_a_row_with_one_odd_gpu_is_enforced_and_the_gpu_counted_at_its_most(
    tmp_path: Path, kind: str
) -> None:
    with LoneRow(tmp_path, budget_watts=BUDGET_WATTS) as row:
        if kind == "unreadable":
            row.board.fail(2, 3, reads=999)
        elif kind == "lost":
            row.board.lose(2, 3)
        else:
            row.board.tell_range(2, 3, min_watts=0.0, max_watts=0.0)
        row.start()
        row.wait(row.enforced)
        row.draw(395.0)
        row.wait(lambda: held(row, but=1))
        assert row.limits("node-2")[3] == 400.0
        row.wait(lambda: drawn_watts(row) <= BUDGET_WATTS)


@pytest.mark.slow
def test_a_gpu_that_falls_silent_is_counted_at_its_most_also_by_a_restarted_agent(tmp_path: Path) -> None:
    with LoneRow(tmp_path, budget_watts=BUDGET_WATTS) as row:
        row.start()
        row.wait(row.enforced)
        row.wait(lambda: row.limits("node-2") == [400.0] * 8)
        row.board.fail(2, 3, reads=999)
        row.signal("node-2", signal.SIGTERM)
        row.start(["node-2"])
        row.wait(row.enforced)
        row.draw(395.0)
        row.wait(lambda: held(row, but=1))
        row.wait(lambda: drawn_watts(row) <= BUDGET_WATTS)


GEFORCE = GpuSpec(model="NVIDIA GeForce RTX 4090", min_watts=150.0, max_watts=600.0, default_watts=450.0)
B200 = GpuSpec(model="NVIDIA B200", min_watts=400.0, max_watts=1200.0, default_watts=1000.0)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [GEFORCE, B200], ids=lambda spec: spec.model)
def test_no_limit_is_ever_above_what_was_found(tmp_path: Path, spec: GpuSpec) -> None:
    """A calm row was raised to all that its hardware takes, a GPU that somebody had set lower too."""
    budget_watts, range_watts = 3 * (500.0 + 8 * 1.05 * spec.max_watts), (spec.min_watts, spec.max_watts)
    with LoneRow(tmp_path, spec=spec, gpu_watts=range_watts, budget_watts=budget_watts) as row:
        low_watts = spec.min_watts + 50.0
        row.board.write_as_other(0, 0, watts=low_watts)
        found = [low_watts, *[spec.default_watts] * 7]
        with LimitWatcher(lambda: [*row.limits("node-0"), *row.limits("node-1")]) as watcher:
            row.start()
            row.wait(row.enforced)
            leased = 'loadline_power_exchanges_total{outcome="leased"}'
            row.wait(lambda: all((row.metric(node, leased) or 0.0) > 8.0 for node in row.nodes))
            row.wait(lambda: row.limits("node-0") == found)
        highest = [max(watts) for watts in zip(*(limits for _, limits in watcher.seen), strict=True)]
        assert highest == [*found, *[spec.default_watts] * 8]
        assert row.board.writes()[0].all(), "each was written to"


@pytest.mark.slow
def test_a_driver_that_is_loaded_anew_under_an_agent_is_held_by_it_again(tmp_path: Path) -> None:
    with LoneRow(tmp_path, budget_watts=BUDGET_WATTS) as row:
        row.start()
        row.wait(row.enforced)
        row.draw(395.0)
        row.wait(lambda: held(row))
        for gpu in range(8):
            row.board.fail(2, gpu, reads=9, writes=9)
        row.wait(lambda: "no GPU answers: " in unready(row, "node-2"))
        row.wait(lambda: row.metric("node-2", "loadline_power_node_watts") == 500.0 + 8 * 400.0)
        loaded = Board.create(row.board.path, row.nodes)
        loaded.set_sensors(watts=200.0)
        row.wait(lambda: unready(row, "node-2") == "")
        row.wait(lambda: max(loaded.enforced_watts()[2]) < 395.0)
        assert row.agents["node-2"].poll() is None, "it is the same process"
        loaded.close()


@pytest.mark.slow
def test_one_impossible_reading_slows_nobody(tmp_path: Path) -> None:
    with LoneRow(tmp_path, budget_watts=BUDGET_WATTS) as row:
        row.start()
        row.wait(row.enforced)
        row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))
        row.board.gpus["instant_mw"][2, 0] = 2**32 - 1
        row.wait(lambda: row.metric("node-2", "loadline_power_node_watts") == 500.0 + 7 * 200.0 + 400.0)
        row.board.gpus["instant_mw"][2, 0] = 200_000
        row.wait(lambda: row.metric("node-2", "loadline_power_node_watts") == 500.0 + 8 * 200.0)
        row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))
        assert (row.metric("node-0", 'loadline_power_domain_brakes{domain="row"}')) == 0.0


def unready(row: LoneRow, node: str) -> str:
    """Why a node isn't ready; empty if it is."""
    try:
        row.ask(node, "/readyz")
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
    return ""
