"""What is judged of the plugin's part of the experts' benchmark."""

from typing import Any

import pytest

from benchmarks import expert_plugins
from benchmarks.expert_plugins import KINDS, LEAST_PAIRS, Measured
from benchmarks.result_files import Check
from testbed.engines.expert_models import ARCHITECTURES

ENGINE: dict[str, Any] = {
    "layers": 4,
    "tokens_equal": True,
    "counters_equal": True,
    "answers_changed": True,
    "recompilations": 0,
}
COST: dict[str, Any] = {
    "tokens": 2_048,
    "experts": 64,
    "pairs": LEAST_PAIRS,
    "layer_ms": 50.0,
    "overhead": 0.004,
    "overhead_upper": 0.006,
    "noise": 0.01,
}


def engines(**changed: Any) -> list[dict[str, Any]]:
    """All models, eager and compiled; the first is `changed`."""
    rows = [{**ENGINE, "model": model, "kind": kind} for model in ARCHITECTURES for kind in KINDS]
    return [rows[0] | changed, *rows[1:]]


def costs(**changed: Any) -> list[dict[str, Any]]:
    """Each arm at two shapes; the last is `changed`."""
    rows = [{**COST, "arm": arm, "experts": experts} for experts in (64, 128) for arm in ("drop", "observe")]
    return [*rows[:-1], rows[-1] | changed]


def checks(found: Measured) -> dict[str, Check]:
    return {check.name: check for check in expert_plugins.checks(found)}


def test_what_holds_of_every_model_and_shape_is_kept() -> None:
    assert all(check.ok for check in checks(Measured(engines(), costs())).values())


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"tokens_equal": False}, "gamma_inf_tokens_equal"),
        ({"answers_changed": False}, "gamma_inf_tokens_equal"),
        ({"counters_equal": False}, "counters_equal_recomputed"),
        ({"layers": 0}, "counters_equal_recomputed"),
    ],
)
def test_one_model_of_which_it_is_not_so_fails(changed: dict[str, Any], name: str) -> None:
    check = checks(Measured(engines(**changed), costs()))[name]
    assert not check.ok
    assert f"{next(iter(ARCHITECTURES))} eager" in check.reason


def test_a_model_that_was_not_tried_fails() -> None:
    found = checks(Measured(engines()[1:], costs()))
    assert not found["gamma_inf_tokens_equal"].ok
    assert not found["counters_equal_recomputed"].ok


def test_something_compiled_after_a_change_fails_and_so_does_nothing_compiled_at_all() -> None:
    compiled = [row | {"recompilations": int(row["kind"] == "compiled")} for row in engines()]
    assert checks(Measured(compiled, costs()))["recompilations_on_change"].value == len(ARCHITECTURES)
    eager = [row for row in engines() if row["kind"] == "eager"]
    assert not checks(Measured(eager, costs()))["recompilations_on_change"].ok


def test_an_overhead_is_judged_at_the_shape_where_it_is_highest() -> None:
    check = checks(Measured(engines(), costs(overhead_upper=0.012)))["observe_overhead"]
    assert (check.ok, check.value, check.timing) == (False, 0.012, True)
    assert "E = 128" in check.reason


@pytest.mark.parametrize("changed", [{"noise": 0.04}, {"pairs": LEAST_PAIRS - 1}])
def test_an_overhead_measured_in_noise_or_too_seldom_is_inconclusive(changed: dict[str, Any]) -> None:
    check = checks(Measured(engines(), costs(**changed)))["observe_overhead"]
    assert not check.ok
    assert check.reason.startswith("inconclusive")


def test_an_overhead_that_was_not_measured_is_none() -> None:
    check = checks(Measured(engines(), []))["drop_overhead"]
    assert (check.value, check.ok) == (None, False)
