"""What spec and engine leave to the policy, and what the plugin gets."""

import pytest

from loadline_agent.experts.spec_bounds import allowance, bounds, placement, settings
from loadline_api import reasons
from loadline_api.expert_counts import EplbCounts, ExpertCounts, LayerCounts
from loadline_api.expert_settings import ExpertsSettings
from loadline_api.experts import Experts, ExpertsGuard, ExpertsMode, Gamma, Strategy
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.service_loads import Allowance, PlacementState, Reason
from loadline_policies.experts.shadow_tables import count

LAYER = LayerCounts.of(count([6, 2], tokens=4, top_k=2, placement=contiguous(2, 2)), batches=(0, 1))
COUNTS = ExpertCounts(mode="observe", layers={"a": LAYER, "b": LAYER})
ENFORCE = Experts(mode=ExpertsMode.ENFORCE)


@pytest.mark.parametrize(
    ("counts", "able"),
    [
        (COUNTS, True),
        (COUNTS.model_copy(update={"unbounded": {"HashRouting": 1}}), True),
        (COUNTS.model_copy(update={"unbounded": {"NotAllowed": 2}}), False),
        (ExpertCounts(layers={}), False),
        (None, None),
    ],
)
def test_an_engine_is_able_that_reports_a_layer_which_can_have_a_capacity(
    counts: ExpertCounts | None, able: bool | None
) -> None:
    assert allowance(ENFORCE, counts).able is able


@pytest.mark.parametrize("mode", ExpertsMode)
def test_a_capacity_is_allowed_by_the_mode_of_the_spec(mode: ExpertsMode) -> None:
    assert allowance(Experts(mode=mode), COUNTS).enforce is (mode is ExpertsMode.ENFORCE)


def test_the_bounds_of_the_spec_are_taken_over() -> None:
    experts = Experts(
        mode=ExpertsMode.ENFORCE,
        gamma=Gamma(min_percent=150, max_percent=200),
        guard=ExpertsGuard(
            max_dropped_percent=1, max_without_expert_permille=2, max_canary_drift_millinats=3
        ),
    )
    assert allowance(experts, COUNTS) == Allowance(
        enforce=True,
        min_gamma_percent=150,
        max_gamma_percent=200,
        max_dropped_percent=1,
        max_without_expert_permille=2,
        max_canary_drift_millinats=3,
    )


@pytest.mark.parametrize(
    ("steps", "state"),
    [(None, "Unavailable"), (0, "Planned"), (6000, "Planned"), (6001, "Pending")],
)
def test_placement_is_what_the_engine_reports_of_eplb(steps: int | None, state: str) -> None:
    eplb = EplbCounts(steps_since_rearranged=steps, step_interval=3000) if steps is not None else None
    assert placement(COUNTS.model_copy(update={"eplb": eplb})) == PlacementState(state)


def test_without_counts_nothing_is_known_of_placement() -> None:
    assert placement(None) is PlacementState.UNKNOWN


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_of_the_spec_is_one_of_the_plugins(strategy: Strategy) -> None:
    experts = Experts(mode=ExpertsMode.ENFORCE, strategy=strategy, min_tokens=64)
    sent = ExpertsSettings.read(settings(experts, 1500).encode())
    assert (sent.mode, sent.gamma_thousandths, sent.min_tokens) == ("enforce", 1500, 64)
    assert sent.strategy.replace("_", "") == strategy.value.lower()
    watched = ExpertsSettings.read(settings(experts, None).encode())
    assert (watched.bounds, watched.strategy, watched.min_tokens) == (False, sent.strategy, 64)


def test_where_the_mode_is_off_the_plugin_gets_its_no_op_settings() -> None:
    assert settings(Experts(mode=ExpertsMode.OFF, min_tokens=64), 1500).encode() == {}


@pytest.mark.parametrize(
    ("change", "bounded"),
    [
        ({"mode": "enforce", "gamma_thousandths": 1500}, True),
        ({"mode": "enforce", "gamma_thousandths": UNBOUNDED_THOUSANDTHS}, False),
        ({"mode": "enforce", "gamma_thousandths": None}, False),
        ({"mode": "observe", "gamma_thousandths": 1500}, False),
        ({"mode": None}, False),
        ({"mode": "enforce", "gamma_thousandths": 1500, "unbounded": {"NotAllowed": 2}}, False),
    ],
)
def test_an_engine_is_bounded_if_all_ranks_say_so_and_a_layer_can_be(
    change: dict[str, object], bounded: bool
) -> None:
    assert bounds(COUNTS.model_copy(update=change)) is bounded


def test_reasons_of_policies_are_reasons_of_the_api() -> None:
    assert {one.value for one in Reason} <= {one.value for one in reasons.Reason}
