"""
What runs of all arms say together: a table by workload and load, and the figures that have goals.

Arms are compared seed by seed: the same requests arrive at the same times in each. Where vLLM preempts fewer
than `LEAST_PREEMPTIONS` times, a ratio of preemptions says nothing and isn't made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.admissions.goodputs import Ratio, ratio

Row = Mapping[str, Any]

LEAST_PREEMPTIONS: Final = 100
"""Of vLLM, in all seeds of a workload and load together."""

KNEE: Final = 1.0
"""The load at the knee."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The runs of one workload at one load, by arm, each in the order of its seeds."""

    workload: str
    load: float
    arms: Mapping[str, Sequence[Row]]

    def total(self, arm: str, name: str) -> float:
        return float(sum(row[name] for row in self.arms[arm]))

    def each(self, arm: str, name: str) -> list[float]:
        return [float(row[name]) for row in self.arms[arm]]

    def mean(self, arm: str, name: str) -> float:
        return self.total(arm, name) / len(self.arms[arm])

    def over(self, ours: str, theirs: str, name: str = "goodput") -> Ratio | None:
        """The ratio of two arms' figures over the seeds; None where one wasn't run or theirs is nothing."""
        if ours not in self.arms or theirs not in self.arms:
            return None
        return ratio(self.each(ours, name), self.each(theirs, name))

    def preempts_enough(self, stock: str) -> bool:
        return self.total(stock, "preemptions") >= LEAST_PREEMPTIONS


def cells(rows: Iterable[Row]) -> list[Cell]:
    """One for each workload and load, in the order of the rows."""
    found: dict[tuple[str, float], dict[str, list[Row]]] = {}
    for row in rows:
        arms = found.setdefault((row["workload"], row["load"]), {})
        arms.setdefault(row["arm"], []).append(row)
    return [
        Cell(workload, load, {arm: sorted(runs, key=lambda row: row["seed"]) for arm, runs in arms.items()})
        for (workload, load), arms in found.items()
    ]


def table(found: Sequence[Cell], *, stock: str) -> list[dict[str, Any]]:
    """A row for each workload, load and arm; means over the seeds, preemptions summed up."""
    return [
        {
            "workload": cell.workload,
            "load": cell.load,
            "arm": arm,
            "goodput_share": cell.total(arm, "goodput") / cell.total(arm, "offered"),
            "goodput_over_stock": value(cell.over(arm, stock)),
            "interactive_over_stock": value(cell.over(arm, stock, "goodput_interactive")),
            "attained": cell.mean(arm, "attained"),
            "attained_cold": cell.mean(arm, "attained_cold"),
            "preemptions": int(cell.total(arm, "preemptions")),
            "recomputed_share": cell.total(arm, "recomputed_tokens") / cell.total(arm, "computed_tokens"),
            "ttft_p99_s": cell.mean(arm, "ttft_p99_s"),
            "gap_p99_s": cell.mean(arm, "gap_p99_s"),
            "ttlt_p99_s": cell.mean(arm, "ttlt_p99_s"),
            "running": cell.mean(arm, "running"),
            "usage": cell.mean(arm, "usage"),
            "schedule_us": cell.mean(arm, "schedule_us"),
        }
        for cell in found
        for arm in cell.arms
    ]


def worst_ratio(found: Sequence[Cell], name: str, *, ours: str, theirs: str) -> tuple[float | None, str]:
    """The largest ratio of a figure over the cells where vLLM preempts enough, and where that was.

    None where it does so nowhere.
    """
    ratios = [
        (cell.total(ours, name) / cell.total(theirs, name), f"{cell.workload} at {cell.load:g} of its knee")
        for cell in found
        if {ours, theirs} <= cell.arms.keys() and cell.preempts_enough(theirs) and cell.total(theirs, name)
    ]
    if not ratios:
        return None, "vLLM preempted too seldom everywhere"
    return max(ratios)


def lowest_interval(found: Sequence[Cell], *, ours: str, theirs: str) -> tuple[float | None, str]:
    """The lowest end of an interval of the goodputs' ratio over all cells, and where that was."""
    lows = [
        (each.low, f"{cell.workload} at {cell.load:g} of its knee")
        for cell in found
        if (each := cell.over(ours, theirs)) is not None
    ]
    return min(lows, default=(None, "no run had a figure"))


def at_knee(found: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in found if cell.load == KNEE]


def value(found: Ratio | None) -> float | None:
    """The ratio itself, if there is one."""
    return None if found is None else found.value
