"""
Whole agents replaced under a real API server: successors overlap, and answer at other addresses.

A new pod has a new address, and may start before the old one has ended. The row here is
of real processes; only the kubelet's part, who starts and ends them, is the test's.
"""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from loadline_agent.kube import checkpoint_files
from loadline_api import names
from loadline_api.names import LEASES, NODE_CAPACITIES, SYSTEM_NAMESPACE
from testbed import charts, operator_writes
from testbed.cluster.bed import Bed
from testbed.fakegpu.board import Board
from testbed.limit_watchers import LimitWatcher
from testbed.live_rows.members import Member, members

NODES = ("pier-0", "pier-1", "pier-2")
CANDIDATES = NODES[:2]
DOMAIN = "pier"
ROW = {f"{names.NODE_RESTRICTION_PREFIX}row": DOMAIN}
LEASE = LEASES.path(names.lease_name(DOMAIN), namespace=SYSTEM_NAMESPACE)
BUSY_WATTS, PEAK_WATTS, MOST_WATTS = 330.0, 395.0, 400.0
SAFE_WATTS = 357.0
"""(10,500 W / 3 - 500 W) / 8 / 1.05, whole watts down."""
LEASED = 'loadline_power_exchanges_total{outcome="leased"}'


@dataclass
class Row:
    """Three nodes, their agents, and what was seen of their limits."""

    bed: Bed
    board: Board
    members: dict[str, Member]
    seen: list[tuple[float, list[list[float]]]] = field(default_factory=list)

    def limits(self, node: str) -> list[float]:
        return [float(watts) for watts in self.board.enforced_watts()[NODES.index(node)]]

    def metric(self, node: str, series: str) -> float:
        """A series of a node's agent; -1 while nobody tells."""
        try:
            url = f"http://127.0.0.1:{self.members[node].metrics_port}/metrics"
            text = httpx.get(url, trust_env=False).text
        except httpx.HTTPError:
            return -1.0
        found = (line.rpartition(" ") for line in text.splitlines())
        return next((float(value) for name, _, value in found if name == series), -1.0)

    def holder(self) -> str:
        return str(self.bed.client.get(LEASE)["spec"].get("holderIdentity") or "")

    def replace(self, node: str) -> float:
        """A successor comes up beside its predecessor, whose pod is then ended; when that was."""
        old = self.members[node]
        new = members(self.bed, (node,), self.board.path)[node]
        new.start()
        time.sleep(2.0)  # it waits for the predecessor's lock by now
        self.members[node] = new
        ended_s = time.monotonic()
        for process in old.processes:
            process.send(signal.SIGTERM)
        assert [process.wait(10.0) for process in old.processes] == [0, 0]
        return ended_s


def until(so: Callable[[], bool], what: str, within_s: float = 60.0) -> float:
    began_s = time.monotonic()
    while not so():
        assert time.monotonic() - began_s < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began_s


def declare(bed: Bed) -> None:
    """What people and the operator would write."""
    bed.apply(charts.control_plane_objects({"agent": {"canSetLimits": True}}))
    bed.add_nodes(NODES, labels=ROW)
    kind = {"apiVersion": names.API_VERSION, "kind": "PowerDomain"}
    spec = {
        "budgetWatts": 10_500,
        "mode": "Enforce",
        "nodeSelector": {"matchLabels": ROW},
        "hostWatts": {"max": 500},
    }
    bed.apply([{**kind, "metadata": {"name": DOMAIN}, "spec": spec}])
    operator_writes.enlist(bed, DOMAIN, members=NODES, candidates=CANDIDATES)


@pytest.fixture(scope="module")
def row() -> Iterator[Row]:
    with Bed() as bed:
        declare(bed)
        board = Board.create(bed.directory / "board", NODES)
        board.set_sensors(watts=200.0)
        made = Row(bed, board, members(bed, NODES, bed.directory / "board"))
        for member in made.members.values():
            member.start()
        until(lambda: all(member.record().armed for member in made.members.values()), "all are armed")
        board.set_sensors(watts=BUSY_WATTS)
        until(lambda: all(made.limits(node) == [MOST_WATTS] * 8 for node in NODES), "all are free")
        yield made
        board.close()


def test_a_successor_waits_for_its_predecessor_and_raises_by_lease_only(row: Row) -> None:
    node = NODES[2]
    with LimitWatcher(lambda: row.limits(node)) as limit_watcher:
        ended_s = row.replace(node)
        until_leased(row, node, within_s=20.0)
        until(lambda: row.limits(node) == [MOST_WATTS] * 8, "the successor is leased all")
    safe_s = next(at_s for at_s, seen in limit_watcher.seen if set(seen) == {SAFE_WATTS})
    rises = [at_s for at_s in limit_watcher.rises if at_s > ended_s]
    assert rises, "the successor was leased more than its safe limits"
    assert min(rises) > safe_s > ended_s, "before, the predecessor's lease may have moved its limits"


def test_candidates_with_new_addresses_are_found_by_everybody(row: Row) -> None:
    until(lambda: row.holder() in CANDIDATES, "somebody leads")
    leader = row.holder()
    for leaving in sorted(CANDIDATES, key=lambda node: node != leader):
        before = address(row, leaving)
        row.replace(leaving)
        for node in NODES:
            until_leased(row, node, within_s=20.0)
        until(lambda: all(row.limits(node) == [MOST_WATTS] * 8 for node in NODES), "all are free again")
        assert address(row, leaving) != before
    assert row.holder() in CANDIDATES, "whoever leads now answers at an address that nobody knew at first"


def test_a_node_that_has_left_and_whose_agent_is_replaced_is_released(row: Row) -> None:
    """It knew whose it was, but nobody there: it was silent, and at its safe limits, for good."""
    node = NODES[2]
    row.board.set_sensors(watts=PEAK_WATTS)
    until(lambda: max(row.limits(node)) <= SAFE_WATTS, "the row is braked, so that nobody can be released")
    row.bed.kubectl("label", "node", node, *(f"{label}-" for label in ROW))
    operator_writes.name(row.bed, DOMAIN, members=NODES[:2], candidates=CANDIDATES)
    memory = row.members[node].state / checkpoint_files.FILE
    until(lambda: f'"domain":"{DOMAIN}"' not in memory.read_text(), "the agent has seen that it was let go")
    for process in row.members[node].processes:
        process.send(signal.SIGTERM)
    assert [process.wait(10.0) for process in row.members[node].processes] == [0, 0]
    successor = row.members[node] = members(row.bed, (node,), row.board.path)[node]
    successor.start()
    until_leased(row, node, within_s=20.0)
    assert successor.record().armed
    watts = f'loadline_power_domain_watts{{domain="{DOMAIN}"}}'
    assert row.metric(row.holder(), watts) >= 3 * (500 + 8 * PEAK_WATTS) - 1.0, "its host counts on"
    row.board.set_sensors(watts=200.0)
    until(lambda: not successor.record().armed, "it is released")
    until(lambda: row.limits(node) == [MOST_WATTS] * 8, "what was found is in force", within_s=1.0)


def address(row: Row, node: str) -> str:
    return str(row.bed.client.get(NODE_CAPACITIES.path(node))["spec"]["address"])


def until_leased(row: Row, node: str, within_s: float) -> None:
    """Three leases from now on."""
    before = max(0.0, row.metric(node, LEASED))
    until(lambda: row.metric(node, LEASED) >= before + 3, f"{node} is leased", within_s)
