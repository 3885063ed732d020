"""Watts that stand beside their difference in one sentence always go together, whatever the row has seen."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.kube.domain_conditions import conditions_of
from loadline_api.conditions import ConditionType, find
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.protocol.coordinators import Coordinator
from loadline_policies.power.protocol.domain_states import DomainState, ReleaseWait
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.members import rating_of
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report
from loadline_policies.power.safety.breakers import Curve

EPOCH = Epoch(transitions=1, lease_uid="lease")
NAMES = tuple(f"node-{index}" for index in range(10))
HOST_WATTS, LEAST_WATTS, MOST_WATTS = 650.0, 100.0, 400.0
FLOOR_WATTS, NAMEPLATE_WATTS = 650.0 + 1.05 * 2 * 100.0, 650.0 + 1.05 * 2 * 400.0

OVER = re.compile(r"may draw (\d+) W, (\d+) W above the budget \((\d+) W\)")
LACKS = re.compile(r"lacks (\d+) W of headroom")


def report(node: str, sequence: int, *, able: bool = True, enforced: float = MOST_WATTS) -> Report:
    gpus = tuple(
        GpuReport(
            uuid=f"{node}/{index}",
            watts=100.0,
            enforced_watts=enforced,
            min_watts=LEAST_WATTS,
            max_watts=MOST_WATTS,
            safe_watts=250.0,
            able=able,
            proven=able,
        )
        for index in range(2)
    )
    return Report(
        node=node,
        domain="row",
        sequence=sequence,
        age_s=0.1,
        host_watts=HOST_WATTS,
        host_max_watts=HOST_WATTS,
        gpus=gpus,
        epoch=EPOCH,
        lease_sequence=sequence,
        armed=True,
    )


def domain(budget_watts: float) -> Domain:
    return Domain(
        name="row",
        budget_watts=budget_watts,
        members=frozenset(NAMES),
        document=parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"),
        enforce=True,
        curve=Curve(points=((1.05, math.inf), (1.08, 600.0), (1.30, 400.0))),
        ratings={name: rating_of(report(name, 1)) for name in NAMES},
    )


def over(state: DomainState) -> tuple[int, int, int] | None:
    """The figures of `Holdable`: the least draw, by how much it is above the budget, and the budget."""
    condition = find(conditions_of(state, enforce=True), ConditionType.HOLDABLE)
    assert condition is not None
    found = OVER.search(condition.message)
    assert (found is not None) is (condition.reason == "CannotBeHeld")
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def state_of(coordinator: Coordinator, now: float) -> DomainState:
    coordinator.renewed(now)
    coordinator.decide(now)
    return coordinator.domain_state(now)


def hear(coordinator: Coordinator, names: Iterable[str], sequence: int, now: float) -> None:
    for name in names:
        coordinator.receive(report(name, sequence), now)


def test_a_row_with_members_that_were_never_heard_is_over_by_what_these_count_at() -> None:
    budget_watts = 10 * FLOOR_WATTS + 3.5 * (NAMEPLATE_WATTS - FLOOR_WATTS)
    coordinator = Coordinator(domain(budget_watts), EPOCH, now=0.0)
    hear(coordinator, NAMES[:5], 1, now=0.5)
    hear(coordinator, NAMES[:6], 2, now=8.0)
    assert over(state_of(coordinator, 8.3)) == (11_120, 315, 10_805), "four count at their nameplate"


@given(
    st.floats(9 * FLOOR_WATTS, 11 * NAMEPLATE_WATTS),
    st.lists(
        st.tuples(
            st.sampled_from((0.1, 0.3, 1.0, 3.0, 12.0, 31.0)),
            st.lists(
                st.tuples(st.sampled_from(NAMES), st.booleans(), st.floats(LEAST_WATTS, MOST_WATTS)),
                max_size=10,
            ),
        ),
        min_size=2,
        max_size=8,
    ),
)
def test_what_can_not_be_held_is_above_the_budget_by_the_watts_that_are_named(
    budget_watts: float, rounds: list[tuple[float, list[tuple[str, bool, float]]]]
) -> None:
    coordinator, now = Coordinator(domain(budget_watts), EPOCH, now=0.0), 0.0
    for sequence, (dt_s, reports) in enumerate(rounds, start=1):
        now += dt_s
        for name, able, enforced in reports:
            coordinator.receive(report(name, sequence, able=able, enforced=enforced), now)
        figures = over(state_of(coordinator, now))
        if figures is not None:
            lowest, above, budget = figures
            assert above > 0
            assert lowest == budget + above


@given(st.floats(1e-6, 1e7), st.floats(1.0, 1e7))
def test_fractions_of_a_watt_are_never_rounded_away(above_watts: float, budget_watts: float) -> None:
    coordinator = Coordinator(domain(budget_watts), EPOCH, now=0.0)
    state = coordinator.domain_state(0.0)
    evidence = replace(
        state.evidence, budget_watts=budget_watts, lowest_watts=budget_watts + above_watts, unholdable=True
    )
    figures = over(replace(state, evidence=evidence))
    assert figures is not None
    lowest, above, budget = figures
    assert lowest == budget + above
    assert above > 0


@given(st.floats(0.0, 1e7, exclude_min=True), st.booleans())
def test_a_release_that_lacks_headroom_never_lacks_none(watts: float, long: bool) -> None:
    waits = ReleaseWait(nodes=("node-0",), lacking_watts=watts, long=long)
    coordinator = Coordinator(domain(1e5), EPOCH, now=0.0)
    hear(coordinator, NAMES, 1, now=0.5)
    state = replace(coordinator.domain_state(0.5), release=waits)
    condition = find(conditions_of(state, enforce=False), ConditionType.ENFORCING)
    assert condition is not None
    lacks = LACKS.search(condition.message)
    assert lacks is not None
    assert int(lacks[1]) >= max(1.0, watts)
