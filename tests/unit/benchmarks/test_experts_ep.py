"""What the benchmark of expert parallelism makes of the steps that were timed in the engine's interpreter."""

from typing import Any

import pytest

from benchmarks import experts_ep
from benchmarks.experts_ep import JUDGED_RANKS

NAMES = ("none", "placement", "placement with redundancy", "capacity", "both")
DROPPED = {"capacity": 20, "both": 5}


def arm(name: str, ranks: int, layer: int, **changed: Any) -> dict[str, Any]:
    return {
        "ranks": ranks,
        "layer": layer,
        "arm": name,
        "redundant": 0,
        "offered": 100,
        "dropped": DROPPED.get(name, 0),
        "rank_most": 100 // ranks,
        "crossing_most": 50,
        "step_s": 0.2 if ranks == 2 else None,
        "slowest_s": 0.1,
        "exchange_s": 0.2,
        "composed_s": 0.3,
        "clean": 5,
        "refused": 1,
    } | changed


def point(at: int, **changed: Any) -> dict[str, Any]:
    """A step that takes 1 ms, 2 µs a pair and 1 µs a row."""
    pairs, rows = 100 * at, 50 * at * at
    step_s = 1e-3 + 2e-6 * pairs + 1e-6 * rows
    return {"rank_most": pairs, "crossing_most": rows, "step_s": step_s, "clean": 5, "refused": 0} | changed


def documented(
    arms: list[dict[str, Any]] | None = None, grid: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    known = [arm(name, ranks, layer) for ranks in (JUDGED_RANKS, 8) for layer in (4, 11) for name in NAMES]
    return experts_ep._report(
        {
            "arms": arms or known,
            "grid": grid or [point(at) for at in range(1, 11)],
            "drifts": [],
            "inputs": {},
            "seeds": [1],
        }
    )


def checks(document: dict[str, Any]) -> dict[str, Any]:
    return {check["name"]: check for check in document["checks"]}


def test_each_arm_has_the_time_of_all_layers() -> None:
    rows = documented()["results"]["arms"]
    assert [(row["ranks"], row["arm"]) for row in rows] == [
        (ranks, name) for ranks in (JUDGED_RANKS, 8) for name in NAMES
    ]
    assert (rows[0]["step_ms"], rows[0]["timed"]) == (400.0, "directly")
    assert (rows[-1]["step_ms"], rows[-1]["timed"]) == (600.0, "composed")


def test_an_arm_with_a_layer_without_a_clean_run_has_no_time() -> None:
    rows = documented([arm("none", 2, 4), arm("none", 2, 11, step_s=None)])["results"]["arms"]
    assert [row["step_ms"] for row in rows] == [None]


def test_steps_that_follow_the_model_are_met() -> None:
    check = checks(documented())["model_error"]
    assert check["ok"]
    assert check["value"] == pytest.approx(0.0, abs=1e-6)


def test_the_model_is_judged_by_points_that_it_was_not_fitted_to() -> None:
    grid = [point(at, step_s=point(at)["step_s"] * (1.5 if at % 2 == 0 else 1.0)) for at in range(1, 11)]
    check = checks(documented(grid=grid))["model_error"]
    assert not check["ok"]
    assert check["value"] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(("unknown", "value"), [({4}, pytest.approx(0.0, abs=1e-6)), ({4, 5}, None)])
def test_too_many_points_without_a_clean_run_leave_the_error_unknown(
    unknown: set[int], value: object
) -> None:
    grid = [point(at, **({"step_s": None} if at in unknown else {})) for at in range(1, 11)]
    assert checks(documented(grid=grid))["model_error"]["value"] == value


def test_what_is_dropped_is_compared_at_the_ranks_that_are_judged() -> None:
    check = checks(documented())["dropped_after_placement_ratio"]
    assert (check["value"], check["ok"]) == (0.25, True)


def test_without_these_ranks_nothing_is_compared() -> None:
    check = checks(documented([arm(name, 8, 4) for name in NAMES]))["dropped_after_placement_ratio"]
    assert (check["value"], check["ok"]) == (None, False)


def test_all_runs_are_counted() -> None:
    results = documented()["results"]
    assert (results["runs_used"], results["runs_refused"]) == (5 * 30, 20)
