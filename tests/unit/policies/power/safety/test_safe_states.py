"""S1 and S2: where nodes fall, how many may be silent, and which domains are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.safety.breakers import Curve
from loadline_policies.power.safety.safe_states import (
    GpuRating,
    NodeRating,
    Timings,
    assess,
    safe_limits,
    tolerated_silent_nodes,
)

ROW_A = Curve(points=((1.05, math.inf), (1.08, 60.0), (1.30, 40.0)))
BUDGET_WATTS = 243_200.0


def node(
    name: str,
    *,
    gpus: int = 8,
    low: float = 100.0,
    high: float = 400.0,
    host: float = 2600.0,
    settable: bool = True,
) -> NodeRating:
    return NodeRating(
        node=name,
        host_max_watts=host,
        gpus=tuple(GpuRating(f"{name}/{i}", low, high) for i in range(gpus)),
        settable=settable,
    )


ROW = tuple(node(f"node-{i:02}") for i in range(52))

NODES = st.builds(
    node,
    name=st.uuids().map(str),
    gpus=st.integers(0, 8),
    low=st.floats(50, 300),
    high=st.floats(300, 1000),
    host=st.floats(0, 4000),
    settable=st.booleans(),
)


def test_the_demo_row_falls_to_247_watts_a_gpu() -> None:
    assert set(safe_limits(ROW, BUDGET_WATTS).values()) == {247}


@given(st.lists(NODES, max_size=20), st.floats(0, 2e5))
def test_safe_limits_fit_the_budget_or_are_refused(rows: list[NodeRating], budget_watts: float) -> None:
    try:
        limits = safe_limits(rows, budget_watts)
    except UnsafeDomain as refused:
        assert refused.reason == "BudgetTooSmall"
        assert sum(r.floor_watts for r in rows) > budget_watts
    else:
        total = sum(r.watts_at(limits) for r in rows)
        assert total <= budget_watts or total == pytest.approx(sum(r.floor_watts for r in rows))
        for row in rows:
            for gpu in row.gpus:
                assert not row.settable or gpu.min_watts <= limits[gpu.uuid] <= gpu.max_watts


def test_a_node_whose_limits_cant_be_set_counts_at_its_nameplate() -> None:
    stubborn = node("stubborn", settable=False)
    limits = safe_limits([*ROW[:39], stubborn], 40 * 4677.0)
    assert not any(uuid.startswith("stubborn") for uuid in limits)
    assert sum(r.watts_at(limits) for r in [*ROW[:39], stubborn]) <= 40 * 4677.0


@given(st.lists(NODES, max_size=12), st.floats(0, 1e5))
def test_the_tolerated_silent_nodes_are_the_largest_k_that_holds(
    rows: list[NodeRating], ceiling: float
) -> None:
    limits = {gpu.uuid: gpu.min_watts for row in rows if row.settable for gpu in row.gpus}
    rises = sorted((r.nameplate_watts - r.watts_at(limits) for r in rows), reverse=True)
    base = sum(r.watts_at(limits) for r in rows)
    k = tolerated_silent_nodes(rows, limits, ceiling_watts=ceiling)
    if k >= 0:
        assert base + sum(rises[:k]) <= ceiling + 1e-6
    if k < len(rows):
        assert base + sum(rises[: k + 1]) > ceiling - 1e-6


def test_the_demo_row_tolerates_nine_silent_nodes() -> None:
    safety = assess(ROW, budget_watts=BUDGET_WATTS, curve=ROW_A, timings=Timings())
    assert safety.tolerates_silent_nodes == 9
    assert safety.max_load == pytest.approx(1.274, abs=0.001)


def test_the_reaction_is_the_sum_of_its_parts() -> None:
    assert Timings().reaction_s == pytest.approx(6.85)


def test_a_curve_that_s2_cant_meet_is_refused() -> None:
    hasty = Curve(points=((1.05, math.inf), (1.08, 20.0), (1.30, 10.0)))
    with pytest.raises(UnsafeDomain, match=r"breaker\.curve") as refused:
        assess(ROW, budget_watts=BUDGET_WATTS, curve=hasty, timings=Timings())
    assert refused.value.reason == "ReactionTooSlow"


def test_a_budget_below_the_lowest_limits_is_refused() -> None:
    with pytest.raises(UnsafeDomain, match="budgetWatts is 170000") as refused:
        assess(ROW, budget_watts=170_000.0, curve=ROW_A, timings=Timings())
    assert refused.value.reason == "BudgetTooSmall"


@given(st.floats(180_000, 400_000), st.sampled_from([ROW_A, Curve()]))
def test_from_the_ceiling_heat_a_whole_reaction_at_maximum_never_trips(
    budget_watts: float, curve: Curve
) -> None:
    timings = Timings()
    try:
        safety = assess(ROW, budget_watts=budget_watts, curve=curve, timings=timings)
    except UnsafeDomain:
        return
    assert curve.heated(safety.ceiling_heat, load=safety.max_load, dt_s=timings.reaction_s) < 1.0
