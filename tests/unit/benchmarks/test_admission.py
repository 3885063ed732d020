"""What the benchmark of admission makes of the runs that were made in the engine's interpreter."""

from typing import Any

import pytest

from benchmarks import admission

ARMS = ("stock", "watermark", "history", "victim alone")
GOODPUTS = {"stock": 60.0, "watermark": 50.0, "history": 90.0, "victim alone": 60.0}
PREEMPTIONS = {"stock": 100, "watermark": 40, "history": 2, "victim alone": 80}
FIGURES = (
    "attained", "attained_cold", "goodput_interactive", "ttft_p99_s", "gap_p99_s", "ttlt_p99_s", "running",
    "usage", "schedule_us",
)  # fmt: skip


def row(arm: str, seed: int, load: float, **changed: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(FIGURES, 0.5),
        "workload": "chat",
        "load": load,
        "arm": arm,
        "seed": seed,
        "offered": 100.0,
        "goodput": GOODPUTS[arm],
        "preemptions": PREEMPTIONS[arm],
        "recomputed_tokens": 10 * PREEMPTIONS[arm],
        "computed_tokens": 10_000,
    } | changed


def documented(**changed: dict[str, Any]) -> dict[str, Any]:
    """The report of two loads and two seeds; `changed` are the figures of an arm."""
    runs = [
        row(arm, seed, load, **changed.get(arm, {})) for arm in ARMS for seed in (0, 1) for load in (1.0, 1.2)
    ]
    costs = {"decision_us": 150.0, "requests": 256, "schedule_us_stock": 900.0}
    return admission._report(
        {"runs": runs, "knees": [], "costs": costs, "inputs": {}, "seeds": [0, 1], "seconds": 1.0}
    )


def checks(document: dict[str, Any]) -> dict[str, Any]:
    return {check["name"]: check for check in document["checks"]}


def test_an_arm_that_does_well_keeps_all_promises() -> None:
    found = checks(documented())
    assert [name for name, check in found.items() if not check["ok"]] == []
    assert {name: check["value"] for name, check in found.items()} == {
        "preemptions_ratio": 0.02,
        "recomputed_ratio": 0.02,
        "chat: goodput_over_stock_at_knee": 1.5,
        "chat: goodput_over_watermark_at_knee": 1.8,
        "goodput_ci_low_worst_load": 1.5,
        "decision_us": 150.0,
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"preemptions": 6}, "preemptions_ratio"),
        ({"recomputed_tokens": 60}, "recomputed_ratio"),
        ({"goodput": 65.0}, "chat: goodput_over_stock_at_knee"),
        ({"goodput": 64.0}, "chat: goodput_over_watermark_at_knee"),
        ({"goodput": 59.0}, "goodput_ci_low_worst_load"),
    ],
)
def test_each_promise_can_be_missed(changed: dict[str, Any], missed: str) -> None:
    found = checks(documented(history=changed))
    assert not found[missed]["ok"]
    assert found[missed]["reason"]


def test_a_goodput_that_is_missed_says_what_was_possible() -> None:
    found = checks(documented(history={"goodput": 64.0}))["chat: goodput_over_watermark_at_knee"]
    assert found["reason"] == "watermark serves 50.0% of the offered tokens in time, so at most 2.00"


def test_without_preemptions_of_vllm_s_the_ratios_have_no_figure() -> None:
    found = checks(documented(stock={"preemptions": 1}))
    assert (found["preemptions_ratio"]["value"], found["preemptions_ratio"]["ok"]) == (None, False)


def test_every_arm_at_every_load_has_a_row() -> None:
    rows = documented()["results"]["arms"]
    assert {(row["load"], row["arm"]) for row in rows} == {(load, arm) for load in (1.0, 1.2) for arm in ARMS}
    assert {row["goodput_share"] for row in rows if row["arm"] == "history"} == {0.9}


def test_the_choice_of_victims_alone_is_reported() -> None:
    results = documented()["results"]
    assert (results["recomputed_ratio_victim_alone"], results["p99_ttlt_ratio"]) == (0.8, 1.0)
