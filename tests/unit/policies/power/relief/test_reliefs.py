"""Who is let off a cap and when it ends: in the order of rank, inside the room, and bounded in time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.relief.reliefs import (
    CALM_S,
    REST_S,
    TRIAL_S,
    WAIT_S,
    End,
    Key,
    Phase,
    Relief,
    Room,
    State,
    changes,
    decide,
)
from loadline_policies.power.rows import FREE, Cap, deeper

SHALLOW, DEEP, BRAKE = Cap(1275), Cap(1110), Cap(288)
ROOM = Room(watts=85_000.0, bound_watts=89_000.0, settle_s=3.0, low=DEEP)


def claim(
    service: str = "chat",
    node: str = "node-0",
    *,
    priority: int = 100,
    missed: float | None = 1.5,
    rise: float = 1000.0,
    capped: bool = True,
) -> Claim:
    return Claim(
        service=service, node=node, priority=priority, missed=missed,
        gpus=(f"{node}/{service}",), capped=capped, rise_watts=rise,
    )  # fmt: skip


def told(
    *claims: Claim, room: Room = ROOM, state: State | None = None, now: float = 0.0
) -> tuple[Relief, State]:
    return decide(claims, room, state or State(), now)


def after(state: State, *steps: tuple[float, tuple[Claim, ...]], room: Room = ROOM) -> tuple[Relief, State]:
    """The last decision of a series of (time, claims)."""
    relief = Relief()
    for now, claims in steps:
        relief, state = decide(claims, room, state, now)
    return relief, state


def ends(state: State) -> dict[Key, End | None]:
    return {turn.key: turn.end for turn in state.turns if turn.phase is Phase.RESTING}


def test_a_service_that_misses_under_a_cap_is_let_off_it() -> None:
    relief, _ = told(claim())
    assert relief.gpus == {"node-0/chat"}
    assert relief.services == ("chat",)


@pytest.mark.parametrize(
    "given_claim",
    [
        pytest.param(claim(missed=None), id="unknown"),
        pytest.param(claim(missed=1.0), id="met"),
        pytest.param(claim(missed=-7.0), id="nonsense"),
        pytest.param(claim(missed=float("nan")), id="not-a-number"),
        pytest.param(claim(capped=False), id="not-capped"),
    ],
)
def test_who_doesnt_miss_because_of_a_cap_is_not(given_claim: Claim) -> None:
    relief, state = told(given_claim)
    assert (relief.gpus, relief.waiting, state.turns) == (frozenset(), (), ())


def test_the_higher_priority_is_let_off_first_whatever_others_miss_by() -> None:
    relief, _ = told(claim("code", missed=9.0, priority=10), claim("chat", priority=100), room=tight(1000.0))
    assert (relief.services, relief.waiting) == (("chat",), ("code",))


def test_of_equal_priority_the_worst_miss_is_let_off_first() -> None:
    relief, _ = told(claim("code", missed=1.2), claim("chat", missed=1.3), room=tight(1000.0))
    assert (relief.services, relief.waiting) == (("chat",), ("code",))


def test_nobody_is_let_off_past_one_who_doesnt_fit() -> None:
    relief, _ = told(claim("chat", rise=5000.0), claim("code", rise=10.0, priority=10))
    assert (relief.services, relief.waiting) == ((), ("chat", "code"))


def tight(watts: float) -> Room:
    """A row with so much room."""
    return replace(ROOM, watts=ROOM.bound_watts - watts)


def test_whoever_was_let_off_lately_counts_at_the_most_that_he_may_draw() -> None:
    first, second = claim(node="node-0", rise=2500.0), claim(node="node-1", rise=2500.0)
    _, state = told(first)
    soon, _ = told(replace(first, capped=False), second, state=state, now=2.9)
    later, _ = told(replace(first, capped=False), second, state=state, now=3.0)
    assert (len(soon.gpus), soon.waiting) == (1, ("chat",))
    assert len(later.gpus) == 2


def test_whoever_was_called_back_lately_still_counts() -> None:
    low, high = claim("code", priority=10, rise=2500.0), claim("chat", "node-1", rise=2000.0)
    _, state = told(low)
    _, state = told(low, high, state=state, now=1.0)
    assert ends(state) == {("code", "node-0"): End.OUTRANKED}
    soon, _ = told(low, high, state=state, now=3.9)
    later, _ = told(low, high, state=state, now=4.0)
    assert (soon.waiting, later.services) == (("chat",), ("chat",))


def test_relief_lasts_while_the_service_only_just_meets_its_objective() -> None:
    relief, _ = after(
        State(), (0.0, (claim(),)), (1.0, (claim(missed=0.95),)), (500.0, (claim(missed=0.95),))
    )
    assert relief.services == ("chat",)


@pytest.mark.parametrize("missed", [0.9, None], ids=["met", "unknown"])
def test_relief_ends_when_the_miss_has_ended_for_some_time(missed: float | None) -> None:
    calm = (claim(missed=missed, capped=False),)
    held, state = after(State(), (0.0, (claim(),)), (10.0, calm), (10.0 + CALM_S - 1, calm))
    assert held.services == ("chat",)
    ended, state = after(state, (10.0 + CALM_S, calm))
    assert (ended.services, state.turns) == ((), ())


def test_a_miss_in_between_begins_that_time_anew() -> None:
    calm, bad = (claim(missed=0.5, capped=False),), (claim(missed=1.1, capped=False),)
    relief, _ = after(State(), (0.0, (claim(),)), (10.0, calm), (50.0, bad), (51.0, calm), (100.0, calm))
    assert relief.services == ("chat",)


@pytest.mark.parametrize("end", [End.BRAKE, End.HELD, End.UNSURE, End.OFF])
def test_a_row_that_must_be_low_takes_all_relief_back_at_once(end: End) -> None:
    _, state = told(claim())
    relief, state = told(room=replace(ROOM, shut=end), state=state, now=0.1)
    assert relief.gpus == frozenset()
    assert ends(state) == {("chat", "node-0"): end}


def test_so_does_a_row_above_its_bound() -> None:
    _, state = told(claim())
    relief, state = told(claim(), room=tight(-1.0), state=state, now=0.1)
    assert relief.gpus == frozenset()
    assert ends(state) == {("chat", "node-0"): End.NO_ROOM}


def test_what_was_taken_back_is_not_asked_for_again_at_once() -> None:
    _, state = told(claim())
    _, state = told(claim(), room=tight(-1.0), state=state, now=1.0)
    resting, _ = told(claim(), state=state, now=1.0 + REST_S - 0.1)
    again, _ = told(claim(), state=state, now=1.0 + REST_S)
    assert (resting.services, again.services) == ((), ("chat",))


def test_a_cap_that_the_policy_lifts_leaves_nothing_behind() -> None:
    _, state = told(claim())
    relief, state = told(room=replace(ROOM, shut=End.UNCAPPED), state=state, now=1.0)
    assert (relief.services, state.turns) == ((), ())


def test_gpus_that_change_hands_are_not_let_off_with_them() -> None:
    _, state = told(claim())
    more = replace(claim(), gpus=("node-0/chat", "node-0/more"))
    relief, state = told(more, state=state, now=1.0)
    assert relief.gpus == frozenset()
    assert ends(state) == {("chat", "node-0"): End.GONE}


def test_a_higher_priority_that_waits_ends_the_relief_of_a_lower_one() -> None:
    low, high = claim("code", priority=10), claim("chat", "node-1", rise=9000.0)
    _, state = told(low)
    relief, state = told(low, high, state=state, now=1.0)
    assert (relief.services, relief.waiting) == ((), ("chat",))
    assert ends(state) == {("code", "node-0"): End.OUTRANKED}


def test_nobody_waits_for_ever() -> None:
    high, low = claim(rise=9000.0), claim("code", "node-1", priority=10)
    _, state = told(high, low)
    relief, state = told(high, low, state=state, now=WAIT_S)
    assert (relief.services, relief.waiting) == (("code",), ())
    assert ends(state) == {("chat", "node-0"): End.WAITED}


def test_while_the_line_moves_nobody_in_it_has_waited_too_long() -> None:
    line = [claim(node=f"node-{i}", rise=2500.0) for i in range(3)]
    _, state = told(*line)
    moved, state = told(replace(line[0], capped=False), *line[1:], state=state, now=WAIT_S - 1)
    then, state = told(
        *[replace(one, capped=False) for one in line[:2]], line[2], state=state, now=WAIT_S + 1
    )
    assert (len(moved.gpus), len(then.gpus), then.waiting) == (2, 2, ("chat",))


def test_a_relief_that_didnt_help_goes_on_while_nobody_waits() -> None:
    relief, _ = after(State(), (0.0, (claim(),)), (10 * TRIAL_S, (claim(capped=False),)))
    assert relief.services == ("chat",)


def test_and_makes_room_for_those_who_wait() -> None:
    liar, other = claim(missed=10.0, capped=False), claim("code", "node-1", missed=1.1, rise=4100.0)
    _, state = told(replace(liar, capped=True))
    relief, state = told(liar, other, state=state, now=TRIAL_S)
    assert ends(state) == {("chat", "node-0"): End.FUTILE}
    assert relief.waiting == ("code",)


def test_after_that_the_rest_of_the_service_comes_last() -> None:
    tried, liar = claim(missed=10.0), claim(node="node-1", missed=10.0)
    other = claim("code", "node-9", priority=10, missed=1.1)
    _, state = told(tried)
    _, state = told(replace(tried, capped=False), liar, room=tight(0.0), state=state, now=TRIAL_S)
    relief, _ = told(tried, liar, other, room=tight(1000.0), state=state, now=TRIAL_S + 3)
    assert (relief.services, relief.waiting) == (("code",), ("chat",))


def test_low_priority_is_not_raised_while_somebody_waits() -> None:
    big = claim(rise=9000.0)
    _, state = told(room=replace(ROOM, low=BRAKE, shut=End.BRAKE))
    relief, state = told(big, state=state)
    assert relief.low == BRAKE
    relief, state = told(big, state=state, now=WAIT_S - 1)
    assert relief.low == BRAKE
    relief, state = told(big, state=state, now=WAIT_S)
    assert relief.low == DEEP


def test_low_priority_doesnt_wait_for_one_after_the_other() -> None:
    first, second = claim(rise=9000.0), claim("search", "node-1", rise=9000.0)
    _, state = told(room=replace(ROOM, low=BRAKE, shut=End.BRAKE))
    relief, _ = after(state, (0.0, (first,)), (WAIT_S - 10, (first, second)), (WAIT_S, (first, second)))
    assert (relief.waiting, relief.low) == (("search",), DEEP)


def test_low_priority_is_raised_when_all_who_waited_are_let_off() -> None:
    _, state = told(room=replace(ROOM, low=BRAKE, shut=End.BRAKE))
    first, state = told(claim(rise=4100.0), state=state)
    then, _ = told(claim(rise=3900.0), state=state, now=1.0)
    assert (first.low, then.low) == (BRAKE, DEEP)


def test_low_priority_is_lowered_at_once_all_the_same() -> None:
    big = claim(rise=9000.0)
    _, state = told(big, room=replace(ROOM, low=SHALLOW))
    relief, _ = told(big, room=replace(ROOM, low=DEEP), state=state, now=0.1)
    assert relief.low == DEEP


def test_changes_are_told_in_words() -> None:
    _, state = told(claim())
    _, braked = told(room=replace(ROOM, shut=End.BRAKE), state=state, now=1.0)
    assert changes(State(), state) == ("chat on node-0: Relieved",)
    assert changes(state, braked) == ("chat on node-0: Resting after Brake",)
    assert changes(braked, braked) == ()


@given(st.lists(st.tuples(st.sampled_from([FREE, SHALLOW, DEEP, BRAKE]), st.booleans()), max_size=80))
def test_low_priority_never_gets_more_than_the_policy_wishes(wishes: list[tuple[Cap, bool]]) -> None:
    state = State()
    for step, (low, waits) in enumerate(wishes):
        claims = (claim(rise=9000.0),) if waits else ()
        relief, state = told(*claims, room=replace(ROOM, low=low), state=state, now=float(step))
        assert deeper(relief.low, low) == relief.low


def test_of_equals_whoever_has_asked_for_longest_comes_next() -> None:
    """Five nodes whose trials end together, with room for two: by name alone the last was never let go."""
    room, state, served = replace(ROOM, watts=87_000.0), State(), set[str]()
    for step in range(int(4 * TRIAL_S)):
        free = let_go(state)
        claims = [claim(node=f"node-{i}", missed=10.0, capped=f"node-{i}/chat" not in free) for i in range(5)]
        drawn = replace(room, watts=room.watts + 1000.0 * len(free))
        relief, state = decide(tuple(claims), drawn, state, float(step))
        served |= relief.gpus
    assert served == {f"node-{i}/chat" for i in range(5)}


def let_go(state: State) -> frozenset[str]:
    """The GPUs that are let go."""
    return frozenset(gpu for turn in state.turns if turn.phase is Phase.RELIEVED for gpu in turn.gpus)
