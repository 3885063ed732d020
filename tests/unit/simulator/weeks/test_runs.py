"""A policy over a span: going ahead and back gives what stepping by single seconds gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import parse_power
from loadline_sim.arrays import Floats
from loadline_sim.traffic.arrivals import Arrivals
from loadline_sim.weeks import queues, replays, runs, studies
from loadline_sim.weeks.runs import Orders, new_orders, put_in_force, run_span
from tests.unit.simulator.weeks import rows_of_tests as rows

SECONDS = 900


def orders_of(policy: str) -> Orders:
    """A policy that has decided nothing."""
    return new_orders(parse_power(studies.document(policy)))


def by_single_seconds(policy: str, seconds: int) -> tuple[Floats, Orders]:
    """The row's load of each second if the policy is asked after each."""
    row, orders, loads = rows.row(rows.requests(SECONDS)), orders_of(policy), np.empty(seconds)
    for second in range(seconds):
        put_in_force(row, orders, second)
        loads[second] = row.step(second, 1)[0]
        orders.decide(loads[second], second=second, now_s=second + 1.0, reaction_s=1)
    return loads, orders


@pytest.mark.parametrize("policy", ["no-cap", *studies.POLICIES])
def test_loads_and_levels_are_those_of_single_seconds(policy: str) -> None:
    loads, alone = by_single_seconds(policy, SECONDS)
    orders = orders_of(policy)
    span = run_span(rows.row(rows.requests(SECONDS)), orders, seconds=SECONDS, origin_s=0.0)
    assert span.loads.tolist() == loads.tolist()
    assert orders.levels == alone.levels
    assert sum(orders.levels.values()) == SECONDS


def test_a_policy_acts_on_this_row() -> None:
    orders = orders_of("polca")
    span = run_span(rows.row(rows.requests(SECONDS)), orders, seconds=SECONDS, origin_s=0.0)
    assert len(orders.levels) >= 3
    assert span.windows
    assert (
        run_span(rows.row(rows.requests(SECONDS)), orders_of("no-cap"), seconds=99, origin_s=0.0).windows
        == []
    )


def part_of(arrivals: Arrivals, start_s: float, end_s: float) -> Arrivals:
    """The requests of a span, on its clock."""
    first, last = np.searchsorted(arrivals.arrival_s, [start_s, end_s])
    return Arrivals(
        arrivals.services,
        arrivals.arrival_s[first:last] - start_s,
        arrivals.service[first:last],
        arrivals.server[first:last],
        arrivals.prompt_tokens[first:last],
        arrivals.output_tokens[first:last],
    )


@given(cuts=st.lists(st.integers(1, SECONDS - 1), max_size=3, unique=True).map(sorted))
def test_a_run_in_spans_is_the_run_as_a_whole(cuts: list[int]) -> None:
    arrivals, orders = rows.requests(SECONDS), orders_of("polca")
    whole, _ = by_single_seconds("polca", SECONDS)
    parts = []
    row, last_s = rows.row(part_of(arrivals, 0.0, 0.0)), 0
    for start_s, end_s in pairwise([0, *cuts, SECONDS]):
        new = rows.queue(part_of(arrivals, start_s, end_s))
        row.queue, row.servers = queues.after(row.servers, row.queue, new, span_s=last_s)
        orders, last_s = orders.later(last_s), end_s - start_s
        parts.append(run_span(row, orders, seconds=last_s, origin_s=start_s).loads)
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-9)


def test_every_second_with_caps_is_in_a_window_and_is_replayed_from_the_state_before() -> None:
    orders = orders_of("polca")
    span = run_span(rows.row(rows.requests(SECONDS)), orders, seconds=SECONDS, origin_s=0.0)
    for window in span.windows:
        replay = replays.replay(rows.CONFIG, window)
        assert replay.loads.size == 40 * (window.end_s - window.start_s)
        assert replay.by_second.mean() == pytest.approx(window.loads.mean(), rel=0.01)
    capped = sum(count for level, count in orders.levels.items() if level != "Normal")
    assert (
        sum(window.end_s - window.start_s for window in span.windows) >= capped - 1 - rows.CONFIG.reaction_s
    )
    assert all(one.end_s <= other.start_s for one, other in pairwise(span.windows))


def test_a_long_stretch_with_caps_is_several_windows() -> None:
    long = (
        "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: static-cap\nsettings: {lowWatts: 300}\n"
    )
    orders = new_orders(parse_power(long))
    span = run_span(rows.row(rows.requests(1500)), orders, seconds=1500, origin_s=0.0)
    assert span.windows[0].start_s == 0
    assert 2 <= len(span.windows) <= 3
    assert max(window.end_s - window.start_s for window in span.windows) <= runs.WINDOW_S + runs.MOST_AHEAD_S
    assert span.windows[-1].end_s == 1500
