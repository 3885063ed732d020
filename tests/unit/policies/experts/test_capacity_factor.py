"""What the capacity factor's policy promises: last resort, bounds, slow in both directions, under a guard."""

from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import ServiceDocument, parse
from loadline_policies.experts.capacity_factor import CAPACITY_FACTOR, State, decide
from loadline_policies.experts.capacity_settings import Config
from loadline_policies.experts.service_loads import (
    Allowance,
    Capacity,
    GammaForecast,
    GuardReadings,
    PlacementState,
    Pressure,
    Reason,
    ServiceLoad,
)
from loadline_policies.loops import Loop

CONFIG = Config()
GRID = (
    GammaForecast(gamma_thousandths=1000, dropped_fraction=0.20, step_ratio=0.60),
    GammaForecast(gamma_thousandths=1250, dropped_fraction=0.11, step_ratio=0.70),
    GammaForecast(gamma_thousandths=1500, dropped_fraction=0.07, step_ratio=0.80),
    GammaForecast(gamma_thousandths=2000, dropped_fraction=0.03, step_ratio=0.90),
    GammaForecast(gamma_thousandths=3000, dropped_fraction=0.00, step_ratio=0.98),
)
GOOD = GuardReadings(dropped_fraction=0.05, without_expert_fraction=0.001, canary_drift_nats=0.002)
ALLOWED = Allowance(enforce=True)


def at(estimate: float, *, within: float = 0.01) -> Pressure:
    """A latency of so many times its target, known as well as that."""
    return Pressure(least=estimate - within, estimate=estimate, most=estimate + within)


MISSED = ServiceLoad(
    forecasts=GRID,
    pressure=at(1.15),
    placement=PlacementState.PLANNED,
    guard=GOOD,
    baseline_known=True,
    allowance=ALLOWED,
    age_s=1.0,
)
MET_WITH_ROOM, MET, UNDECIDED = (
    replace(MISSED, pressure=one) for one in (at(0.5), at(0.97), at(0.97, within=0.1))
)


def after(
    seconds: float,
    load: ServiceLoad = MISSED,
    *,
    state: State | None = None,
    begin: float = 1000.0,
    config: Config = CONFIG,
) -> tuple[Capacity, State]:
    """What the policy asks for after it was given the same once a second for so long."""
    capacity, state = Capacity(), state or State()
    for second in range(round(seconds) + 1):
        capacity, state = decide(load, state, config, begin + second)
    return capacity, state


def bounded(gamma_thousandths: int, **state: object) -> State:
    """The state with that γ in force since a long time."""
    return replace(State(), gamma_thousandths=gamma_thousandths, since_s=0.0, **state)  # type: ignore[arg-type]


def test_a_missed_objective_puts_the_largest_suitable_gamma_in_force() -> None:
    capacity, _ = after(0)
    assert capacity == Capacity(gamma_thousandths=2000, reason=Reason.OBJECTIVE_MISSED)


def test_gamma_falls_one_step_in_a_cool_down() -> None:
    gammas = [after(seconds)[0].gamma_thousandths for seconds in (119, 120, 239, 240, 900)]
    assert gammas == [2000, 1500, 1500, 1250, 1250]


@pytest.mark.parametrize("load", [MET, UNDECIDED], ids=["met", "undecided"])
def test_gamma_stays_while_the_objective_is_met_with_little_room_or_the_bucket_does_not_tell(
    load: ServiceLoad,
) -> None:
    capacity, state = after(600, load, state=bounded(1500))
    assert (capacity.gamma_thousandths, state.since_s) == (1500, 0.0)


def test_gamma_rises_in_one_step_as_far_as_the_objective_allows_and_then_cools_down() -> None:
    far_below = replace(MISSED, pressure=at(0.8))
    capacity, state = decide(far_below, bounded(1250), CONFIG, 1000.0)
    assert capacity.gamma_thousandths == 1500  # 0.70 / 0.8 = 0.875
    assert after(119, far_below, state=state)[0].gamma_thousandths == 1500
    capacity, _ = after(120, far_below, state=state)
    assert capacity == Capacity(reason=Reason.OBJECTIVE_MET)  # 0.80 / 0.8 = 1


def test_after_a_capacity_ended_the_next_one_waits_for_the_cool_down() -> None:
    _, state = decide(MET_WITH_ROOM, bounded(2000), CONFIG, 1000.0)
    assert decide(MISSED, state, CONFIG, 1119.0)[0] == Capacity(reason=Reason.COOLING_DOWN)
    assert decide(MISSED, state, CONFIG, 1120.0)[0].gamma_thousandths == 2000


def test_a_rise_that_had_to_be_taken_back_makes_the_next_one_wait_twice_as_long() -> None:
    now, state, waits = 1000.0, bounded(2000), []
    for _ in range(8):
        _, risen = after(0, MET_WITH_ROOM, state=state, begin=now)
        while risen.gamma_thousandths is not None:
            now += 1.0
            _, risen = after(0, MET_WITH_ROOM, state=risen, begin=now)
        waits.append(now - max(state.since_s, 1000.0))
        now += CONFIG.cooldown_seconds
        capacity, state = decide(MISSED, risen, CONFIG, now)
        assert capacity.gamma_thousandths == 2000
    assert waits == [0.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]


def test_a_rise_that_stood_is_forgotten() -> None:
    _, state = decide(MET_WITH_ROOM, bounded(2000, wait_s=240.0), CONFIG, 1000.0)
    _, state = decide(MISSED, state, CONFIG, 1601.0)
    assert (state.gamma_thousandths, state.wait_s) == (2000, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"allowance": Allowance()}, Reason.NOT_ALLOWED),
        ({"allowance": Allowance(able=False)}, Reason.NOT_ALLOWED),
        ({"allowance": replace(ALLOWED, able=False)}, Reason.CANNOT_BOUND),
        ({"allowance": replace(ALLOWED, able=None)}, Reason.READINGS_UNKNOWN),
        ({"pressure": None}, Reason.READINGS_UNKNOWN),
        ({"pressure": at(float("nan"))}, Reason.READINGS_UNKNOWN),
        ({"pressure": at(-1.0)}, Reason.READINGS_UNKNOWN),
        ({"age_s": 31.0}, Reason.READINGS_UNKNOWN),
        ({"age_s": float("nan")}, Reason.READINGS_UNKNOWN),
        ({"placement": PlacementState.PENDING}, Reason.PLACEMENT_FIRST),
        ({"placement": PlacementState.UNKNOWN}, Reason.PLACEMENT_FIRST),
        ({"forecasts": ()}, Reason.NO_SUITABLE_GAMMA),
        ({"forecasts": tuple(replace(one, step_ratio=None) for one in GRID)}, Reason.NO_SUITABLE_GAMMA),
        ({"forecasts": GRID[4:]}, Reason.NO_SUITABLE_GAMMA),  # saves 2 %
        ({"forecasts": GRID[:1]}, Reason.NO_SUITABLE_GAMMA),  # below the least γ, and drops 20 %
        ({"allowance": replace(ALLOWED, min_gamma_percent=250)}, Reason.NO_SUITABLE_GAMMA),
        ({"allowance": replace(ALLOWED, max_gamma_percent=110)}, Reason.NO_SUITABLE_GAMMA),
        ({"pressure": at(0.5)}, Reason.OBJECTIVE_MET),
    ],
)
@pytest.mark.parametrize("state", [State(), bounded(2000)], ids=["from none", "from a capacity"])
def test_without_its_conditions_no_capacity_is_enforced(
    change: dict[str, object], reason: Reason, state: State
) -> None:
    load = replace(MISSED, **change)  # type: ignore[arg-type]
    assert decide(load, state, CONFIG, 1000.0)[0] == Capacity(reason=reason)


@pytest.mark.parametrize(
    ("load", "reason"), [(MET, Reason.OBJECTIVE_MET), (UNDECIDED, Reason.READINGS_UNKNOWN)]
)
def test_no_capacity_begins_unless_an_objective_is_surely_missed(load: ServiceLoad, reason: Reason) -> None:
    assert decide(load, State(), CONFIG, 1000.0)[0] == Capacity(reason=reason)


def test_no_capacity_begins_without_a_baseline_of_the_canaries_but_none_ends_for_want_of_one() -> None:
    load = replace(MISSED, baseline_known=False)
    assert decide(load, State(), CONFIG, 1000.0)[0] == Capacity(reason=Reason.READINGS_UNKNOWN)
    assert decide(load, bounded(1250), CONFIG, 1000.0)[0].gamma_thousandths == 1250


def test_where_experts_cannot_be_placed_a_capacity_is_enforced_without() -> None:
    load = replace(MISSED, placement=PlacementState.UNAVAILABLE)
    assert decide(load, State(), CONFIG, 1000.0)[0].gamma_thousandths == 2000


@pytest.mark.parametrize(
    ("allowance", "gammas"),
    [
        (replace(ALLOWED, min_gamma_percent=150), {2000, 1500}),
        (replace(ALLOWED, min_gamma_percent=110), {2000, 1500, 1250}),
        (replace(ALLOWED, max_gamma_percent=180), {1500, 1250}),
        (replace(ALLOWED, max_dropped_percent=8), {2000, 1500}),
    ],
)
def test_the_tighter_bound_of_spec_and_policy_holds(allowance: Allowance, gammas: set[int]) -> None:
    load = replace(MISSED, allowance=allowance, pressure=at(2.0))
    state, given = State(), set()
    for now in range(1000, 2200, 60):
        capacity, state = decide(load, state, CONFIG, float(now))
        given.add(capacity.gamma_thousandths)
    assert given == gammas


@pytest.mark.parametrize(
    ("guard", "allowance"),
    [
        (replace(GOOD, dropped_fraction=0.121), ALLOWED),
        (replace(GOOD, without_expert_fraction=0.011), ALLOWED),
        (replace(GOOD, canary_drift_nats=0.021), ALLOWED),
        (replace(GOOD, canary_drift_nats=float("nan")), ALLOWED),
        (GOOD, replace(ALLOWED, max_dropped_percent=4)),
        (GOOD, replace(ALLOWED, max_without_expert_permille=0)),
        (GOOD, replace(ALLOWED, max_canary_drift_millinats=1)),
    ],
    ids=["dropped", "orphans", "canary", "nonsense", "spec-dropped", "spec-orphans", "spec-canary"],
)
def test_a_breach_of_the_guard_ends_the_capacity_at_once_and_for_an_hour(
    guard: GuardReadings, allowance: Allowance
) -> None:
    load = replace(MISSED, guard=guard, allowance=allowance)
    capacity, state = decide(load, after(0)[1], CONFIG, 1001.0)
    assert capacity == Capacity(reason=Reason.GUARD_BREACHED)
    assert decide(MISSED, state, CONFIG, 4600.0)[0] == Capacity(reason=Reason.GUARD_BREACHED)
    assert decide(MISSED, state, CONFIG, 4601.0)[0].gamma_thousandths == 2000


def test_a_guard_that_reads_nothing_ends_the_capacity_after_a_while_and_for_an_hour() -> None:
    unread = replace(MISSED, guard=replace(GOOD, canary_drift_nats=None))
    capacity, state = after(300, unread)
    assert capacity.gamma_thousandths == 1250, "changes of γ don't prolong the time without evidence"
    capacity, state = decide(unread, state, CONFIG, 1301.0)
    assert capacity == Capacity(reason=Reason.READINGS_UNKNOWN)
    assert decide(unread, state, CONFIG, 4900.0)[0] == Capacity(reason=Reason.READINGS_UNKNOWN)
    assert decide(unread, state, CONFIG, 4901.0)[0].gamma_thousandths == 2000


def test_a_reading_that_is_missing_now_and_then_ends_nothing() -> None:
    state = bounded(1500)
    for turn in range(400):
        drift = None if turn % 20 else 0.0
        load = replace(MET, guard=replace(GOOD, canary_drift_nats=drift))
        capacity, state = decide(load, state, CONFIG, 1000.0 + 5 * turn)
        assert capacity.gamma_thousandths == 1500


def test_readings_of_the_guard_count_only_while_a_capacity_is_in_force() -> None:
    load = replace(MISSED, guard=replace(GOOD, dropped_fraction=1.0))
    assert decide(load, State(), CONFIG, 1000.0)[0].gamma_thousandths == 2000


@pytest.mark.parametrize(
    ("bounds", "gamma"),
    [((100, 150), 1500), ((100, 199), 1500), ((200, 300), 2000), ((250, 300), None), ((160, 190), None)],
)
def test_gamma_is_moved_at_once_into_bounds_that_are_edited(
    bounds: tuple[int, int], gamma: int | None
) -> None:
    """Two hundred percent was in force since a second ago; where no γ of the table suits, none is."""
    state = replace(bounded(2000), since_s=999.0)
    narrow = Config(min_gamma_percent=bounds[0], max_gamma_percent=bounds[1])
    capacity, _ = after(0, state=state, config=narrow)
    assert capacity.gamma_thousandths == gamma


def test_a_forecast_that_wavers_about_its_bounds_does_not_end_what_is_in_force() -> None:
    wavering = (replace(GRID[3], step_ratio=0.97, dropped_fraction=0.13),)
    capacity, _ = decide(replace(MET, forecasts=wavering), bounded(2000), CONFIG, 1000.0)
    assert capacity.gamma_thousandths == 2000
    capacity, _ = decide(replace(MISSED, forecasts=wavering), State(), CONFIG, 1000.0)
    assert capacity.gamma_thousandths is None


def test_bounds_in_the_wrong_order_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"minGammaPercent is 200: set it to maxGammaPercent \(150\) or less"
    ):
        Config(min_gamma_percent=200, max_gamma_percent=150)


FRACTIONS = st.one_of(st.none(), st.floats(0.0, 1.0))
PRESSURES = st.tuples(*(st.floats(0.0, 5.0) for _ in range(3))).map(
    lambda three: Pressure(**dict(zip(("least", "estimate", "most"), sorted(three), strict=True)))
)
LOADS = st.builds(
    ServiceLoad,
    forecasts=st.lists(
        st.builds(
            GammaForecast,
            gamma_thousandths=st.sampled_from([1000, 1250, 1500, 2000, 3000]),
            dropped_fraction=st.floats(0.0, 1.0),
            step_ratio=st.one_of(st.none(), st.floats(0.1, 1.5)),
        ),
        unique_by=lambda one: one.gamma_thousandths,
    ).map(lambda rows: tuple(sorted(rows, key=lambda one: one.gamma_thousandths))),
    pressure=st.one_of(st.none(), PRESSURES),
    placement=st.sampled_from(PlacementState),
    guard=st.builds(
        GuardReadings,
        dropped_fraction=FRACTIONS,
        without_expert_fraction=FRACTIONS,
        canary_drift_nats=FRACTIONS,
    ),
    baseline_known=st.booleans(),
    allowance=st.builds(
        Allowance,
        enforce=st.booleans(),
        min_gamma_percent=st.sampled_from([100, 125, 200]),
        max_gamma_percent=st.sampled_from([150, 300, 10_000]),
        max_dropped_percent=st.sampled_from([5, 12, 100]),
    ),
    age_s=st.floats(0.0, 60.0),
)


@given(st.lists(st.tuples(LOADS, st.floats(0.0, 300.0)), max_size=30))
def test_whatever_is_observed_a_capacity_keeps_its_bounds_and_its_pace(
    steps: list[tuple[ServiceLoad, float]],
) -> None:
    state, now, changed_s, before = State(), 0.0, float("-inf"), None
    for load, seconds in steps:
        now += seconds
        capacity, state = decide(load, state, CONFIG, now)
        gamma, allowed = capacity.gamma_thousandths, load.allowance
        if gamma is not None:
            (forecast,) = [one for one in load.forecasts if one.gamma_thousandths == gamma]
            assert max(125, allowed.min_gamma_percent) * 10 <= gamma
            assert gamma <= min(300, allowed.max_gamma_percent) * 10
            assert forecast.step_ratio is not None
            assert forecast.step_ratio <= (0.975 if gamma == before else 0.95)
            if gamma != before:
                assert forecast.dropped_fraction <= min(12, allowed.max_dropped_percent) / 100
                assert now - changed_s >= CONFIG.cooldown_seconds
            assert allowed.enforce
            assert load.placement in (PlacementState.PLANNED, PlacementState.UNAVAILABLE)
            assert capacity.reason is Reason.OBJECTIVE_MISSED
        if gamma != before:
            changed_s, before = now, gamma


def test_the_shipped_document_names_the_policy_in_the_line_that_puts_it_in_force() -> None:
    shipped = resources.files("loadline_policies").joinpath("defaults", "experts.yaml").read_text("utf-8")
    document = parse(
        shipped.replace("policy: all-tokens\n", "").replace("# policy:", "policy:"), Loop.EXPERTS
    )
    assert isinstance(document, ServiceDocument)
    assert (document.policy, document.config) == (CAPACITY_FACTOR, CONFIG)
