"""
What the experts' benchmark measures of the plugin: small models in a real engine, and what a layer pays.

Each model runs in a process of its own in the engine's interpreter (`expert_engines`), eager and compiled,
and so do the costs (`expert_layer_costs`). This module starts them and judges what they print.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import engine_runs
from benchmarks.result_files import Check, holds, none, took
from testbed.engines import expert_models

KINDS = ("eager", "compiled")
LEAST_PAIRS = 30
OVERHEADS = {"observe": 0.01, "drop": 0.02}
"""The most that an arm may cost; the costs of the other arms are reported."""

MOST_NOISE = 0.03
"""A run whose layer alone differs by more from one time to the next shows nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row for each model and kind, and one for each shape and arm."""

    engines: Sequence[Mapping[str, Any]]
    costs: Sequence[Mapping[str, Any]]


def measured(*, models: Sequence[str] = (), pairs: int = LEAST_PAIRS, tokens: Sequence[int] = ()) -> Measured:
    """Run all of it, or the named models and sizes alone."""
    engines = [
        engine_runs.run("benchmarks.expert_engines", str(expert_models.ensure(model)), kind)
        for model in models or expert_models.ARCHITECTURES
        for kind in KINDS
    ]
    costs = engine_runs.run("benchmarks.expert_layer_costs", str(pairs), *map(str, tokens))
    return Measured(engines, costs["rows"])


def checks(found: Measured) -> list[Check]:
    """The checks of the plugin; those of an engine need every model, eager and compiled."""
    return [
        _of_engines(
            found, "gamma_inf_tokens_equal", lambda row: row["tokens_equal"] and row["answers_changed"]
        ),
        _of_engines(found, "counters_equal_recomputed", lambda row: row["counters_equal"]),
        _recompilations(found),
        *(_overhead(found, arm, goal) for arm, goal in OVERHEADS.items()),
    ]


def _of_engines(found: Measured, name: str, kept: Callable[[Mapping[str, Any]], bool]) -> Check:
    there = {(row["model"], row["kind"]): bool(row["layers"] and kept(row)) for row in found.engines}
    wanted = [(model, kind) for model in expert_models.ARCHITECTURES for kind in KINDS]
    missed = [f"{model} {kind}" for model, kind in wanted if not there.get((model, kind))]
    return holds(name, value=not missed, reason=f"not so, or not tried: {', '.join(missed)}")


def _recompilations(found: Measured) -> Check:
    compiled = [row for row in found.engines if row["kind"] == "compiled"]
    check = none(
        "recompilations_on_change",
        sum(row["recompilations"] for row in compiled),
        reason="a change of settings compiled something",
    )
    return check if compiled else replace(check, value=None, ok=False, reason="no model was compiled")


def _overhead(found: Measured, arm: str, goal: float) -> Check:
    """The check of an arm's cost, by the shape at which it is dearest."""
    rows = [row for row in found.costs if row["arm"] == arm]
    worst = max(rows, key=lambda row: row["overhead_upper"], default=None)
    if worst is None:
        return took(f"{arm}_overhead", None, goal=goal, reason="")
    shape = f"at T = {worst['tokens']}, E = {worst['experts']}"
    reason = f"{shape} the median is {worst['overhead']:.3f} of a layer of {worst['layer_ms']:.0f} ms"
    check = took(f"{arm}_overhead", worst["overhead_upper"], goal=goal, reason=reason)
    noise = max(row["noise"] for row in rows)
    if noise <= MOST_NOISE and min(row["pairs"] for row in rows) >= LEAST_PAIRS:
        return check
    few = f"noise of {noise:.3f} between runs of one layer, or fewer than {LEAST_PAIRS} pairs"
    return replace(check, ok=False, reason=f"inconclusive: {few}; {reason}")
