"""Requests over spans: none is lost, none is counted twice, and each is as fast as in one whole span."""

import numpy as np
import pytest

from loadline_sim.weeks import queues
from loadline_sim.weeks.rows import SteppedRow
from tests.unit.simulator.weeks import rows_of_tests as rows

SECONDS = 600


def test_a_request_is_unfinished_or_finished() -> None:
    row = rows.row(rows.requests(SECONDS))
    row.step(0, SECONDS // 2)
    left = queues.unfinished(row.servers, row.queue)
    server, ttft_s, latency_s = queues.finished(row.servers, row.queue)
    assert left.size + server.size == row.queue.arrival_s.size
    assert np.unique(left).size == left.size
    assert not np.isnan(latency_s).any()
    assert (ttft_s <= latency_s).all()
    assert np.isnan(row.queue.latency_s[left]).all()


def test_what_a_span_leaves_is_done_in_the_next_as_fast_as_if_there_were_one() -> None:
    arrivals = rows.requests(SECONDS, per_s=3.0)
    whole = rows.row(arrivals)
    whole.step(0, 6 * SECONDS)
    first = rows.row(arrivals)
    first.step(0, SECONDS)
    left = queues.unfinished(first.servers, first.queue).size
    none = rows.queue(rows.requests(0.0))
    queue, servers = queues.after(first.servers, first.queue, none, span_s=SECONDS)
    second = SteppedRow(rows.CONFIG, queue, servers, tick_s=1.0)
    second.step(0, 5 * SECONDS)
    assert queue.arrival_s.size == left > rows.SERVERS
    both = [queues.finished(row.servers, row.queue) for row in (first, second)]
    for place in (1, 2):
        together = np.sort(np.concatenate([one[place] for one in both]))
        assert together == pytest.approx(
            np.sort(queues.finished(whole.servers, whole.queue)[place]), abs=1e-6
        )


def test_the_next_span_begins_with_what_is_in_the_batch() -> None:
    row = rows.row(rows.requests(SECONDS, per_s=1.2))
    row.step(0, 300)
    queue, servers = queues.after(row.servers, row.queue, rows.queue(rows.requests(60.0)), span_s=300.0)
    assert servers.batch.tolist() == row.servers.batch.tolist()
    for server in range(rows.SERVERS):
        begun = queue.starts[server] + np.arange(servers.batch[server])
        assert servers.members[server, : servers.batch[server]].tolist() == begun.tolist()
        assert servers.head[server] >= queue.starts[server] + servers.batch[server]
    assert (queue.arrival_s[: queue.starts[1]][: servers.head[0]] < 0.0).all()
