"""
The report of the study of bursts, as a page and as a summary.

Both are filled from one `Study`, so that they can't differ. What the simulation leaves out of agents, whose
prompts an engine would mostly find in its cache, stands beside their figures.
"""

import math
from pathlib import Path
from typing import Final

from loadline_sim.reports import burst_plots, formats, page_files
from loadline_sim.reports.runs import Fact, provenance
from loadline_sim.studies.burst_searches import PERCENT, Latencies
from loadline_sim.studies.bursts import ALONE_FACTOR, Cost, Played, Study
from loadline_sim.traffic import named_traces

LEFT_OUT: Final = (
    "**Prefix caching**: each prompt is computed whole, also where its beginning was computed before. "
    "Of the agents' blocks 96 % come again, so their latencies and the servers for them are far too "
    "pessimistic. `loadline simulate agents --router prefix-aware` keeps them.",
    "**Agents that wait**: a session goes on as it was recorded, also while its last answer is late.",
    "**Time scales**: requests are played faster or slower until the fleet just carries them, and their "
    "bursts with them.",
    "**Scaling out**: the fleet is fixed. One that grows within a burst would need fewer servers on average.",
    "**Chance**: one draw of sessions, clients and independent times. The range doesn't have what another "
    "seed would say; `--seed` does.",
    "**Priorities, power limits, failures, and a router that looks at prefixes or queues of engines.**",
)


def write(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(study), summary=summary_of(study))


def html(study: Study) -> str:
    """The HTML page."""
    return page_files.rendered(
        "bursts.html",
        study=study,
        fleet=study.design.in_words,
        engine=study.design.engine,
        title=title(study),
        verdict=verdict(study),
        factor=ALONE_FACTOR,
        left_out=(*LEFT_OUT, f"**The engine**: {study.design.engine.left_out}"),
        made=made(study),
        plots=page_files.drawings(lambda wide: _drawn(study, wide=wide)),
    )


def _drawn(study: Study, *, wide: bool) -> dict[str, str]:
    drawn = {"servers": burst_plots.servers(study.costs, wide=wide)}
    for number, one in enumerate(study.costs):
        drawn[f"arrivals-{number}"] = burst_plots.arrivals(one, number=number, wide=wide)
    return drawn


def title(study: Study) -> str:
    """The highest cost, in a few words."""
    known = [(value, one.name) for one in study.costs if (value := one.servers[0]) is not None]
    if not known:
        return "No kind of requests could be compared"
    most, name = max(known)
    return f"{name} needs {more(most)} independent requests"


def more(ratio: float) -> str:
    """A ratio of servers in words."""
    if ratio >= FACTOR:
        return f"{ratio:.1f} times as many servers as"
    if abs(ratio - 1.0) < KNOWN_TO:
        return "as many servers as"
    return f"{abs(ratio - 1.0) * 100:.0f} % {'more' if ratio > 1.0 else 'fewer'} servers than"


FACTOR: Final = 2.0
KNOWN_TO: Final = 0.015
"""Rates are found to 1 %; a smaller difference is none."""


def verdict(study: Study) -> list[str]:
    """In sentences: what each kind of requests costs over independent ones, and how sure that is."""
    return [_told(one) for one in study.costs]


def _told(one: Cost) -> str:
    value, low, high = one.servers
    if value is None:
        return f"{one.name}: unknown. The fleet doesn't keep the objectives at any speed that was tried."
    if low is None or high is None:
        span = "how sure that is couldn't be found"
    else:
        span = f"{low:.2f} to {high:.2f} times as many within the error of the engine's model"
        if low < 1.0 - KNOWN_TO and high > 1.0 + KNOWN_TO:
            span += ", which turns it round"
    return (
        f"{one.name} needs {more(value)} the same requests if they came independently ({span}): "
        f"the fleet carries {_rate(one.coming.rate)} instead of {_rate(one.independent.rate)} requests "
        "a second."
    )


def _rate(value: float | None) -> str:
    return formats.MISSING if value is None else f"{value:.3g}"


def made(study: Study) -> tuple[Fact, ...]:
    """How to reproduce the report."""
    settings, design = study.settings, study.design
    objectives = (
        f"{formats.seconds(settings.ttft_s)} to the first token, {formats.seconds(settings.tpot_s)} per "
        f"further one, or {ALONE_FACTOR:g} times what a request takes alone; "
        f"for {formats.percent(settings.share)}"
    )
    return (
        *provenance(),
        Fact("Requests", "; ".join(named_traces.in_words(one.name) for one in study.costs)),
        Fact("Seed", str(settings.seed)),
        Fact("Engine", f"`{design.engine.name}`: {design.engine.title}; {design.in_words}"),
        Fact("Steps", f"at most {design.most_sequences} requests and {design.most_tokens} tokens"),
        Fact("Objectives", objectives),
        Fact("Known by", f"{design.engine.known_by}; mean error {formats.percent(design.engine.step_error)}"),
    )


def summary_of(study: Study) -> dict[str, object]:
    """The figures behind the page, in plain types; seconds, requests a second, ratios; null is unknown."""
    settings, design = study.settings, study.design
    return {
        "verdict": verdict(study),
        "fleet": {
            "engine": design.engine.name,
            "step_error": design.engine.step_error,
            "servers": design.servers,
            "prefill_servers": design.prefill_servers,
            "gpus": design.gpus,
        },
        "objectives": {
            "ttft_s": settings.ttft_s,
            "tpot_s": settings.tpot_s,
            "times_alone": ALONE_FACTOR,
            "share": settings.share,
        },
        "traffic": [_cost(one) for one in study.costs],
        "simulations": study.simulated,
        "left_out": [sentence.replace("**", "") for sentence in LEFT_OUT],
        "made": {fact.name: fact.text for fact in made(study)},
    }


def _cost(one: Cost) -> dict[str, object]:
    value, low, high = one.servers
    return {
        "name": one.name,
        "requests": one.requests,
        "rate": one.rate,
        "long_by_themselves_share": one.long_share,
        "servers_over_independent": value,
        "low": low,
        "high": high,
        "coming": _played(one.coming),
        "independent": _played(one.independent),
        "notes": list(one.notes),
    }


def _played(one: Played) -> dict[str, object]:
    return {
        "burstiness": _number(one.burstiness.gaps),
        "peak_over_mean_10_s": _number(one.burstiness.peak),
        "rate_carried": one.rates[0],
        "rate_carried_faster_steps": one.rates[1],
        "rate_carried_slower_steps": one.rates[2],
        "at_the_rate_of_independent": None if one.compared is None else _latencies(one.compared),
    }


def _latencies(one: Latencies) -> dict[str, object]:
    return {"kept_share": one.kept_share} | {
        name: {f"p{percent}": value for percent, value in zip(PERCENT, getattr(one, name), strict=True)}
        for name in ("ttft_s", "tpot_s", "e2e_s")
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
