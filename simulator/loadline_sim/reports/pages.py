"""
The report of a demo's run, as a page and as a summary.

Both are filled from `Findings`, so that they can't differ, and `plots` draws the page's plots. Both
demos call `write`; nothing in this module computes a figure.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.reports import page_files, plots
from loadline_sim.reports.checks import broken, kept, late
from loadline_sim.reports.findings import Findings
from loadline_sim.reports.promises import REACTION_GOAL_S

QUANTILES: Floats = np.linspace(0.01, 0.99, 99)
"""The quantiles at which the plot compares latencies."""


def write(findings: Findings, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(findings), summary=summary_of(findings))


def html(findings: Findings) -> str:
    """The HTML page."""
    return page_files.rendered(
        "report.html",
        found=findings,
        plots=page_files.drawings(lambda wide: _drawn(findings, wide=wide)),
        broken=broken(findings.checks),
        late=late(findings.checks),
    )


def _drawn(found: Findings, *, wide: bool) -> dict[str, str]:
    run = found.series
    bands = [plots.Band(act.number, act.title, (act.start_s, act.end_s)) for act in found.acts]
    drawn = {
        "row": plots.row_power(
            run.t_s, row_watts=run.row_watts,
            uncapped_t_s=run.uncapped_t_s, uncapped_watts=run.uncapped_watts,
            budget_watts=found.row.budget_watts, thresholds=run.thresholds, bands=bands, wide=wide,
        ),
        "clocks": plots.clocks(run.t_s, run.high_mhz, run.low_mhz, bands=bands, wide=wide),
        "heat": plots.heat(
            run.t_s, capped=run.heat, uncapped_t_s=run.uncapped_t_s, uncapped=run.uncapped_heat,
            bands=bands, wide=wide,
        ),
        "ratios": plots.latency_ratios(QUANTILES, _ratio_lines(found), wide=wide),
        "curve": plots.breaker_curve(
            found.row.curve, load=found.row.max_load, asked_s=found.row.asked_s, wide=wide
        ),
    }  # fmt: skip
    if found.run.reactions:
        drawn["reactions"] = plots.reactions(found.reactions_s.tolist(), goal_s=REACTION_GOAL_S, wide=wide)
    return drawn


def _ratio_lines(found: Findings) -> list[tuple[str, str, Floats]]:
    return [
        (group.services, plots.slowdown_role(group.priority), group.ratios_at(QUANTILES))
        for group in found.groups
    ]


def summary_of(found: Findings) -> dict[str, object]:
    """The figures behind the page, in plain types; times in seconds, watts in watts."""
    return {
        "kind": found.run.kind,
        "seed": found.run.seed,
        "ok": kept(found.checks),
        "checks": {
            one.name: {
                "value": _plain(one.value),
                "goal": one.goal,
                "ok": one.ok,
                "reason": one.reason,
                "timing": one.timing,
            }
            for one in found.checks
        },
        "load": {"average_1m": round(found.run.load, 2), "cores": found.run.cores},
        "row": {
            "servers": found.row.servers,
            "provisioned_servers": found.row.provisioned_servers,
            "budget_watts": found.row.budget_watts,
            "max_load": found.row.max_load,
        },
        "enforced": asdict(found.enforced),
        "uncapped": asdict(found.uncapped),
        "acts": [_plain_all(asdict(act)) for act in found.acts],
        "latencies_from_acts": list(found.counted_acts),
        "latencies": {
            group.priority: {
                "services": group.services,
                **{name: _plain(value) for name, value in asdict(group.slowdown).items()},
                "p50_ratio": _plain(group.slowdown.p50_ratio),
                "p99_ratio": _plain(group.slowdown.p99_ratio),
                "enforced_p50_ratio": _plain(group.enforced.p50_ratio),
                "enforced_p99_ratio": _plain(group.enforced.p99_ratio),
            }
            for group in found.groups
        },
        "excursions": [
            {"start_s": one.start_s, "seconds": one.duration_s, "peak_watts": one.peak}
            for one in found.excursions
        ],
        "reactions_s": found.reactions_s.tolist(),
        "arithmetic": {fact.name: fact.text for fact in found.run.arithmetic},
        "made": {fact.name: fact.text for fact in found.run.made},
    }


def _plain(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or value != value else value


def _plain_all(values: dict[str, object]) -> dict[str, object]:
    """A dataclass's fields with NaN replaced by None, in nested dataclasses too."""
    return {
        name: _plain_all(value)
        if isinstance(value, dict)
        else _plain(value)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }
