"""What the benchmark of retention makes of the parts that were run in the engine's interpreter."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kv
from benchmarks.kv_retention import findings, parts
from benchmarks.kv_retention.findings import Equal
from benchmarks.kv_retention.parts import Options

RIGHT, WRONG = [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 9]]
IDLE = {"pairs": 60, "step_ms": 31.0, "overhead": 0.004, "overhead_upper": 0.01, "noise": 0.01}
RANKS = {
    "folds": 40,
    "preemptions": 2,
    "schedules_equal": True,
    "tables_equal": True,
    "folds_equal": True,
    "kept_differ": True,
}


def engine(answers: list[list[int]] = RIGHT, **changed: Any) -> dict[str, Any]:
    row = {"answers": answers, "steps": 1_000, "preemptions": 0, "mean_running": 3.0, "right": 2}
    return row | changed


def pool(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in engine(**changed).items() if name not in {"answers", "right"}}


def session(arm: str, computed_tokens: int) -> dict[str, Any]:
    return {
        "arm": arm,
        "seed": 0,
        "sessions": 2,
        "requests": 9,
        "prompt_tokens": 900,
        "computed_tokens": computed_tokens,
    }


def measured(**changed: dict[str, Any]) -> dict[str, Any]:
    """What the parts print when all is well; `changed` are parts, with _ for what names can't have."""
    named = {name for name, _ in parts._others(Options(session_seeds=(0,)))}
    found = {name: engine() for name in named if name.startswith(("tokens", "reference"))}
    found |= {name: pool() for name in named if name.startswith("pool")}
    found |= {
        "preempted: few blocks": engine(preemptions=20),
        "preempted: many blocks": engine(),
        "pool: trimkv 32": pool(mean_running=12.0, steps=240),
        "pool: stock, 4 bits": pool(mean_running=10.0),
        "pool: trimkv 32, shared prompts": pool(mean_running=7.5),
        "sessions: stock, seed 0": session("stock", 100),
        "sessions: retention, seed 0": session("retention", 1_500),
        "ranks": RANKS,
        "idle": IDLE,
    }
    assert found.keys() == named
    for name, row in changed.items():
        part = name.replace("__", ": ").replace("_", " ")
        found[part] = found[part] | row
    return found


def arm(task: str, policy: str, accuracy: float, **more: Any) -> dict[str, Any]:
    row = {
        "task": task,
        "policy": policy,
        "kept_tokens": None if policy == "full" else 32,
        "bits": 16,
        "guard": "none",
        "kv_bytes": 1,
        "asked": 100,
        "accuracy": accuracy,
        "by_part": [accuracy],
        "leaked": None,
        "limit": None,
    }
    return row | more


def recall(**changed: float) -> list[dict[str, Any]]:
    """Accuracies when all is well; `changed` are some of them by name."""
    at = {"oracle": 1.0, "trimkv": 0.98, "plain": 0.3, "protect": 0.99, "unguarded": 0.2} | changed
    return [
        arm("marked_recall", "full", 0.99),
        arm("marked_recall", "full", 0.97, bits=4),
        arm("marked_recall", "oracle", at["oracle"]),
        arm("marked_recall", "trimkv", at["trimkv"]),
        arm("marked_recall", "streaming", 0.2),
        arm("marked_recall", "key-norm", 0.1),
        arm("plain_recall", "full", 0.99),
        arm("plain_recall", "streaming", at["plain"], limit=0.5),
        arm("plain_recall", "trimkv", 0.9, limit=1.0),
        arm("system_facts", "trimkv", 0.5, by_part=[at["unguarded"], 1.0]),
        arm("system_facts", "trimkv", 0.5, by_part=[at["protect"], 1.0], guard="protect"),
    ]


def checks(rows: list[dict[str, Any]] | None = None, **changed: dict[str, Any]) -> dict[str, Any]:
    document = kv._report(rows or recall(), measured(**changed), Options())
    return {check["name"]: check for check in document["checks"]}


def test_a_run_in_which_all_is_well_keeps_all_promises() -> None:
    found = checks()
    assert [name for name, check in found.items() if not check["ok"]] == []
    assert {name: check["value"] for name, check in found.items()} == {
        "trimkv_32_tokens_equal": 6,
        "trimkv_64_tokens_equal": 6,
        "streaming_64_tokens_equal": 6,
        "m_full_equals_stock": True,
        "preempted_tokens_equal": 6,
        "running_ratio": 4.0,
        "preemptions": 0,
        "steps_ratio": 0.24,
        "recall_oracle": 1.0,
        "recall_at_32": pytest.approx(0.98 / 0.99, abs=1e-4),
        "plain_recall_above_limit": 0,
        "protected_span_accuracy": 0.99,
        "idle_overhead": 0.01,
        "ranks_agree": True,
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"reference__trimkv_32": {"answers": WRONG}}, {"trimkv_32_tokens_equal"}),
        ({"reference__streaming_64": {"answers": WRONG}}, {"streaming_64_tokens_equal"}),
        ({"tokens__large_budget": {"answers": WRONG}}, {"m_full_equals_stock"}),
        ({"tokens__all_kept": {"answers": WRONG}}, {"m_full_equals_stock"}),
        ({"preempted__few_blocks": {"answers": WRONG}}, {"preempted_tokens_equal"}),
        ({"pool__trimkv_32": {"mean_running": 11.9}}, {"running_ratio"}),
        ({"pool__trimkv_32": {"preemptions": 1}}, {"preemptions"}),
        ({"pool__trimkv_32": {"steps": 251}}, {"steps_ratio"}),
        ({"ranks": {"tables_equal": False}}, {"ranks_agree"}),
        ({"ranks": {"kept_differ": False}}, {"ranks_agree"}),
        ({"ranks": {"folds": 0}}, {"ranks_agree"}),
        ({"idle": {"overhead_upper": 0.031}}, {"idle_overhead"}),
    ],
)
def test_each_promise_can_be_missed(changed: dict[str, Any], missed: set[str]) -> None:
    found = checks(**changed)
    assert {name for name, check in found.items() if not check["ok"]} == missed
    assert all(found[name]["reason"] for name in missed)


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"trimkv": 0.95}, "recall_at_32"),
        ({"plain": 0.51}, "plain_recall_above_limit"),
        ({"protect": 0.97}, "protected_span_accuracy"),
        ({"oracle": 0.96}, "recall_oracle"),
    ],
)
def test_each_promise_of_recall_can_be_missed(changed: dict[str, float], missed: str) -> None:
    assert {name for name, check in checks(recall(**changed)).items() if not check["ok"]} == {missed}


def test_a_protected_span_that_loses_nothing_unguarded_has_no_figure() -> None:
    assert checks(recall(unguarded=0.99))["protected_span_accuracy"]["value"] is None


@pytest.mark.parametrize(
    "changed",
    [{"preempted__few_blocks": {"preemptions": 0}}, {"preempted__many_blocks": {"preemptions": 1}}],
)
def test_without_preemptions_to_compare_there_is_no_figure(changed: dict[str, Any]) -> None:
    check = checks(**changed)["preempted_tokens_equal"]
    assert (check["value"], check["ok"]) == (None, False)


@pytest.mark.parametrize("changed", [{"noise": 0.031}, {"pairs": 29}, {"step_ms": 19.0}])
def test_an_overhead_that_shows_nothing_is_inconclusive(changed: dict[str, Any]) -> None:
    check = checks(idle=changed)["idle_overhead"]
    assert not check["ok"]
    assert check["reason"].startswith("inconclusive")
    assert check["timing"]


def test_what_has_no_goal_is_reported() -> None:
    results = kv._report(recall(), measured(), Options())["results"]
    assert (results["running_ratio_over_4bit"], results["running_ratio_shared_prompts"]) == (1.2, 2.5)
    assert results["right"]["tokens: stock"] == "2 of 2"
    assert results["retention_with_prefix_hits_ratio"] == 15.0
    assert (results["best_heuristic_at_32"], results["best_heuristic_recall_at_32"]) == ("streaming", 0.2)
    assert results["recall_4bit_at_equal_bytes"] == 0.97


@pytest.mark.parametrize(
    ("ones", "others", "tokens", "of"),
    [
        ([[1, 2]], [[1, 2]], 2, 2),
        ([[1, 2]], [[1]], 1, 2),
        ([[1, 2], [3]], [[2, 1], [3]], 1, 3),
        ([], [], 0, 0),
    ],
)
def test_tokens_are_compared_place_by_place(
    ones: list[list[int]], others: list[list[int]], tokens: int, of: int
) -> None:
    assert Equal.counted(ones, others) == Equal(tokens, of)


def test_a_bad_oracle_ends_the_run_before_anything_else_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "recall", lambda _: {"rows": recall(oracle=0.96)})
    monkeypatch.setattr(parts, "others", lambda _: pytest.fail("something was measured"))
    assert kv.main(["--quick"]) == 1
    assert "0.960" in capsys.readouterr().err


def test_the_limit_of_everything_excludes_nothing() -> None:
    rows = [arm("plain_recall", "trimkv", 1.0, limit=1.0)]
    assert findings.above_limit(rows) == findings.limited(rows) == []


def test_the_page_of_results_explains_each_check(tmp_path: Path) -> None:
    from benchmarks import results_page

    (tmp_path / "kv.json").write_text(json.dumps(kv._report(recall(), measured(), Options())))
    page = results_page.page(results_page.documents(tmp_path))
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) >= len(checks())
    assert [row for row in rows if "|  |" in row] == []
