"""Arms are compared seed by seed, and a ratio of preemptions is made where vLLM preempts often enough."""

from typing import Any

import pytest

from benchmarks.admissions import comparisons
from benchmarks.admissions.comparisons import Cell


def row(arm: str, seed: int = 0, **changed: Any) -> dict[str, Any]:
    return {
        "workload": "code",
        "load": 1.0,
        "arm": arm,
        "seed": seed,
        "offered": 100.0,
        "goodput": 50.0,
        "preemptions": 60,
        "recomputed_tokens": 1000,
    } | changed


def only(*rows: dict[str, Any]) -> Cell:
    (cell,) = comparisons.cells(rows)
    return cell


def test_runs_of_an_arm_are_in_the_order_of_their_seeds() -> None:
    cell = only(row("stock", 1, goodput=2.0), row("stock", 0, goodput=1.0))
    assert cell.each("stock", "goodput") == [1.0, 2.0]


def test_each_workload_and_load_is_a_cell() -> None:
    found = comparisons.cells([row("stock"), row("stock", load=1.2), row("stock", workload="chat")])
    assert [(cell.workload, cell.load) for cell in found] == [("code", 1.0), ("code", 1.2), ("chat", 1.0)]
    assert [cell.load for cell in comparisons.at_knee(found)] == [1.0, 1.0]


def test_arms_are_compared_over_their_seeds() -> None:
    cell = only(
        *(row(arm, seed, goodput=of) for arm, of in (("ours", 60.0), ("stock", 50.0)) for seed in (0, 1))
    )
    found = cell.over("ours", "stock")
    assert found is not None
    assert (found.value, found.low) == pytest.approx((1.2, 1.2))
    assert cell.over("ours", "absent") is None


def test_the_worst_ratio_is_that_of_any_cell_where_vllm_preempts_enough() -> None:
    rows = [
        row("stock", preemptions=200), row("ours", preemptions=2),
        row("stock", load=1.2, preemptions=100), row("ours", load=1.2, preemptions=10),
        row("stock", load=0.8, preemptions=99), row("ours", load=0.8, preemptions=99),
    ]  # fmt: skip
    worst, where = comparisons.worst_ratio(
        comparisons.cells(rows), "preemptions", ours="ours", theirs="stock"
    )
    assert (worst, where) == (0.1, "code at 1.2 of its knee")


def test_without_preemptions_there_is_no_ratio() -> None:
    found = comparisons.cells([row("stock", preemptions=99), row("ours", preemptions=0)])
    assert comparisons.worst_ratio(found, "preemptions", ours="ours", theirs="stock")[0] is None


def test_the_lowest_interval_is_that_of_the_worst_load() -> None:
    rows = [
        row(arm, load=load, goodput=of)
        for load, of in ((0.8, 50.0), (1.2, 45.0))
        for arm, of in (("stock", 50.0), ("ours", of))
    ]
    low, where = comparisons.lowest_interval(comparisons.cells(rows), ours="ours", theirs="stock")
    assert where == "code at 1.2 of its knee"
    assert low == pytest.approx(0.9)


def test_without_runs_there_is_no_interval() -> None:
    assert comparisons.lowest_interval([], ours="ours", theirs="stock")[0] is None
