"""What the experts' benchmark makes of what was compared and timed in the engine's interpreter."""

from typing import Any

import pytest

from benchmarks import experts
from benchmarks.expert_plugins import Measured
from benchmarks.experts import JUDGED, LARGEST, ORACLES

COUNT = 10
AGREED = {"compared": COUNT, "equal": COUNT, "within": COUNT, "no_oracle": 3}
TIMED = {"tokens": LARGEST[0], "experts": LARGEST[1], "kept_over_router": 0.2, "kept_over_router_upper": 0.21}
REDUNDANCY = {
    "ranks": JUDGED[0],
    "redundant_per_rank": JUDGED[1],
    "planned_uniform": 1.2,
    "uniform": 1.3,
    "gain": 1.15,
}
ELSEWHERE = REDUNDANCY | {"ranks": 2 * JUDGED[0], "gain": 1.5}


def checks(
    *, ratio: float = 0.21, gain: float = 1.15, belady: bool = True, **changed: dict[str, Any]
) -> dict[str, Any]:
    """The checks by name, if all strategies agree but those that are `changed`."""
    agreed = {strategy: {"reference": AGREED} for strategy in (*ORACLES, "reroute")} | changed
    worked = {
        "compared": agreed,
        "timed": [TIMED | {"kept_over_router_upper": ratio}],
        "redundancy": [REDUNDANCY | {"gain": gain}, ELSEWHERE],
        "torch": "2",
    }
    document = experts._report(worked, Measured([], []), compared=COUNT, belady={26: True, 416: belady})
    return {check["name"]: check for check in document["checks"]}


def test_what_agrees_with_every_oracle_is_kept() -> None:
    found = checks(score={"reference": AGREED, "official": AGREED})
    assert found["oracle_equal"]["ok"]
    assert found["max_load_within_capacity"]["ok"]
    assert found["one_key_sort_over_topk"]["ok"]


@pytest.mark.parametrize("oracle", ["reference", "official"])
@pytest.mark.parametrize("counts", [{"equal": COUNT - 1}, {"compared": COUNT - 1, "equal": COUNT - 1}])
def test_one_batch_that_differs_or_is_missing_fails(oracle: str, counts: dict[str, int]) -> None:
    found = checks(device={"reference": AGREED, oracle: AGREED | counts})
    assert not found["oracle_equal"]["ok"]


def test_a_load_above_its_capacity_fails_for_any_strategy() -> None:
    found = checks(reroute={"reference": AGREED | {"within": COUNT - 1}})
    assert found["oracle_equal"]["ok"]
    assert not found["max_load_within_capacity"]["ok"]


def test_a_missed_time_is_a_timing() -> None:
    check = checks(ratio=0.3)["one_key_sort_over_topk"]
    assert (check["ok"], check["timing"]) == (False, True)


def test_one_memory_in_which_another_policy_is_better_fails() -> None:
    assert checks()["belady_is_best"]["ok"]
    assert not checks(belady=False)["belady_is_best"]["ok"]


def test_the_gain_is_judged_where_it_was_said_to_be() -> None:
    assert checks()["marginal_redundancy_gain"]["ok"]
    missed = checks(gain=1.01)["marginal_redundancy_gain"]
    assert not missed["ok"]
    assert "gains up to 1.50 (16 ranks, 1 a rank and layer)" in missed["reason"]
