"""A node's pod replaced while the row is busy: agent and guard end together, successors take over."""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.error import HTTPError

import pytest

from loadline_agent.hardware.armed_records import FILE
from testbed.doubles.rows import LoneRow
from testbed.limit_watchers import LimitWatcher
from testbed.other_versions import lengthen

NODE, OTHERS = "node-1", ("node-0", "node-2")
SAFE_WATTS = 357.0
BUSY_WATTS = 330.0
LEASED = 'loadline_power_exchanges_total{outcome="leased"}'


@pytest.fixture
def row(tmp_path: Path) -> Iterator[LoneRow]:
    with LoneRow(tmp_path) as row:
        for node in row.nodes:
            row.guard(node)
        row.start()
        row.wait(row.enforced)
        row.draw(BUSY_WATTS)
        row.wait(lambda: all((row.metric(node, LEASED) or 0.0) >= 3.0 for node in row.nodes))
        row.wait(lambda: all(row.limits(node) == [400.0] * 8 for node in row.nodes))
        yield row


def end(row: LoneRow, node: str) -> None:
    """What a kubelet does to a pod: SIGTERM to both containers at once."""
    row.guards[node].send_signal(signal.SIGTERM)
    row.signal(node, signal.SIGTERM)
    assert row.guards[node].wait(10) == 0
    assert row.agents[node].wait(10) == 0


def replace(row: LoneRow, node: str, *, written: Callable[[Path], None] = lambda record: None) -> None:
    """A successor in the place of one that has `written` the record in its own way."""
    end(row, node)
    written(row.state(node) / FILE)
    row.guard(node)
    row.start([node])


def until_free(row: LoneRow, node: str) -> None:
    row.wait(lambda: row.limits(node) == [400.0] * 8)


def unready(row: LoneRow) -> str:
    """Why a rollout waits for the successor."""
    with pytest.raises(HTTPError) as refused:
        row.ask(NODE, "/readyz")
    return refused.value.read().decode()


def safe(row: LoneRow) -> bool:
    return all(limit <= SAFE_WATTS for limit in row.limits(NODE))


@pytest.mark.slow
def test_a_pod_that_ends_leaves_its_node_safe_and_the_row_goes_on(row: LoneRow) -> None:
    with LimitWatcher(lambda: row.limits(NODE)) as limit_watcher:
        end(row, NODE)
        time.sleep(row.row.lease_s)
    assert safe(row)
    assert not limit_watcher.rises
    assert all(row.limits(node) == [400.0] * 8 for node in OTHERS)


@pytest.mark.slow
def test_a_successor_raises_nothing_before_it_is_leased(row: LoneRow) -> None:
    """Here after a downgrade: a later version has written the record."""
    row.tell(holder="")
    with LimitWatcher(lambda: row.limits(NODE)) as limit_watcher:
        replace(row, NODE, written=lengthen)
        row.wait(lambda: row.metric(NODE, "loadline_power_armed") == 1.0)
        time.sleep(2 * row.row.lease_s)
        assert row.metric(NODE, LEASED) == 0.0
        assert "has not received a lease from a coordinator" in unready(row)
    assert safe(row)
    assert not limit_watcher.rises
    row.tell(holder="node-0", transitions=2)
    row.wait(lambda: row.limits(NODE) == [400.0] * 8)
    assert (row.metric(NODE, LEASED) or 0.0) >= 1.0
    assert row.ask(NODE, "/readyz") == "ready\n"


@pytest.mark.slow
def test_a_successor_within_one_lease_takes_over_the_armed_record(row: LoneRow) -> None:
    replace(row, NODE)
    row.wait(lambda: (row.metric(NODE, LEASED) or 0.0) >= 1.0)
    row.wait(lambda: row.limits(NODE) == [400.0] * 8)
    assert row.metric(NODE, "loadline_power_armed") == 1.0
    before = row.metric(NODE, "loadline_power_guard_interventions")
    leased = row.metric(NODE, LEASED) or 0.0
    row.wait(lambda: (row.metric(NODE, LEASED) or 0.0) >= leased + 5.0)
    assert row.metric(NODE, "loadline_power_guard_interventions") == before
    assert row.limits(NODE) == [400.0] * 8


@pytest.mark.slow
def test_every_pod_of_a_row_is_replaced_in_turn_and_nobody_else_falls(row: LoneRow) -> None:
    for node in ("node-1", "node-2"):
        others = [one for one in row.nodes if one != node]
        watchers = [LimitWatcher(partial(row.limits, one)) for one in others]
        with watchers[0], watchers[1]:
            replace(row, node)
            until_free(row, node)
        assert {limits for limit_watcher in watchers for _, limits in limit_watcher.seen} == {(400.0,) * 8}
