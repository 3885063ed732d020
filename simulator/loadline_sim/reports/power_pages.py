"""
The report of a study of a row's power over weeks, as a page and as a summary.

Both are filled from the same study, so that they can't differ. The verdict names what was simulated, and what
the simulation rests on that nobody has measured.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadline_policies.models import parameters
from loadline_sim.reports import formats, page_files, power_plots
from loadline_sim.reports.runs import Fact, provenance
from loadline_sim.weeks import studies
from loadline_sim.weeks.cases import Outcome
from loadline_sim.weeks.studies import OBJECTIVES, ROBUST, Row, Study

LEFT_OUT: Final = (
    "**Watts by clock and phase**: nobody has published them. That 1.1 GHz saves a fifth of the peak and "
    "costs at most 7 % of the time is what POLCA says; the model is fitted to it. The verdict rests on it.",
    "**Sensors, the network and failures**: a policy is given the true load of each second, and its caps are "
    "in force a second later. What sensors, leases and lost nodes add is in `loadline demo --virtual`.",
    "**Routing that sees queues**: requests are routed by estimated work at full clock, with and without "
    "caps to the same servers.",
    "**Batches**: a server's prompt stops its answers, and prompts aren't cut into pieces.",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One case as a row of the table, in words."""

    row: Row
    name: str
    levels: str


def write(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(study), summary=summary_of(study))


def html(study: Study) -> str:
    """The HTML page."""
    shown = study.best or max(study.rows, key=lambda row: row.outcome.case.servers)
    return page_files.rendered(
        "power.html",
        study=study,
        settings=study.settings,
        verdict=verdict(study),
        lines=[line(row) for row in study.rows],
        shown=shown,
        days=days(study),
        more=more(study.settings.base_servers, shown.outcome.case.servers),
        requests=sum(row.outcome.requests for row in study.rows),
        left_out=LEFT_OUT,
        made=made(study),
        plots=page_files.drawings(
            lambda wide: {"loads": power_plots.loads(study.base, shown.outcome, wide=wide)}
        ),
    )


def verdict(study: Study) -> str:
    """In a few sentences, how many servers the budget bore, under which policy, and how sure that is."""
    simulated = f"{days(study)} of simulation"
    if study.best is None:
        within = [row for row in study.rows if row.is_within]
        begins = (
            f"In {simulated} no policy kept a row of more servers within its budget and its latencies within "
        )
        begins += "their objectives."
        if not within:
            return f"{begins} Each row was above the budget at least once."
        most = max(within, key=lambda row: row.outcome.case.servers).outcome.case
        slow = slowed(max(within, key=lambda row: row.outcome.case.servers))
        return f"{begins} {most.servers} servers stayed within it under `{most.title}`, but {slow}."
    case = study.best.outcome.case
    return (
        f"{case.servers} servers, {more(study.settings.base_servers, case.servers)} more than the budget is "
        f"for, stayed within it for {simulated} under `{case.title}`: the highest mean over two seconds was "
        f"{formats.percent(study.best.max_load)} of it; {slowed(study.best)}. {_robust(study)}"
    )


def days(study: Study) -> str:
    """How long each row was simulated for."""
    return f"{study.settings.days} day{'' if study.settings.days == 1 else 's'}"


def _robust(study: Study) -> str:
    assert study.robust is not None
    begins = f"With GPUs that draw {formats.percent(ROBUST - 1.0, 0)} more than the model says"
    if not study.robust.is_within:
        return (
            f"{begins} it braked {formats.number(study.robust.brakes)} times: the answer rests on the model."
        )
    if not study.robust.keeps_objectives:
        return f"{begins} it stayed within the budget too, but {slowed(study.robust)}."
    return f"{begins} that holds too."


def slowed(row: Row) -> str:
    """How much slower requests became than without caps, at the 99th percentile."""
    high, low = (_growth(row.slower[priority][99]) for priority in ("high", "low"))
    return f"at p99 requests of high priority took {high}, those of low priority {low}"


def _growth(share: float) -> str:
    if share != share:
        return "an unknown time"
    return "as long as without caps" if abs(share) < 0.005 else f"{formats.percent(share)} longer"


def more(base: int, servers: int) -> str:
    """How many more servers there are, in percent."""
    return formats.percent(servers / base - 1.0, 0)


def line(row: Row) -> Line:
    """A row of the table."""
    seconds = row.outcome.load.seconds
    shares = [
        f"{level} {formats.percent(count / seconds)}" for level, count in row.outcome.levels.most_common()
    ]
    return Line(row, row.outcome.case.title, ", ".join(shares))


def made(study: Study) -> tuple[Fact, ...]:
    """How to reproduce the report."""
    settings, model = study.settings, parameters.load()
    hashes = {row.outcome.case.title: row.outcome.policy_hash for row in study.rows}
    return (
        *provenance(),
        Fact(
            "Budget",
            f"{formats.kilowatts(settings.budget_watts)}: {settings.base_servers} servers of the demo's row",
        ),
        Fact("Servers", f"`{model.name}`, {model.gpus} GPUs each; its sources are in the parameter file"),
        Fact("Requests", f"{settings.load:g} of Azure's recorded rates, in the hours and days of ServeGen"),
        Fact("Seed", str(settings.seed)),
        Fact("Policies", "; ".join(f"`{title}` {found}" for title, found in hashes.items())),
    )


def manifest(study: Study) -> str:
    """The ConfigMap of the policy that the study recommends, with the document that it simulated.

    Raises LookupError where it recommends none.
    """
    if study.best is None or study.best.outcome.case.title == studies.NO_CAP:
        raise LookupError("the study recommends no policy")
    case = study.best.outcome.case
    wrapped = textwrap.fill(verdict(study), 110, initial_indent="# ", subsequent_indent="# ")
    return (
        f"{wrapped}\n"
        f"# Hash of the policy, as the status of a PowerDomain shows it: {study.best.outcome.policy_hash}\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: power-studied\n"
        "  labels: {loadline.dev/policy: power}\n"
        f"data:\n  policy.yaml: |\n{textwrap.indent(case.document, '    ')}"
    )


def summary_of(study: Study) -> dict[str, object]:
    """The figures behind the page, in plain types; loads are fractions of the budget, null is unknown."""
    return {
        "ok": study.best is not None,
        "verdict": verdict(study),
        "days": study.settings.days,
        "budget_watts": study.settings.budget_watts,
        "objectives": {name: {f"p{k}": v for k, v in goals.items()} for name, goals in OBJECTIVES.items()},
        "base": _outcome(study.base),
        "rows": [_row(row) for row in study.rows],
        "best": None if study.best is None else _row(study.best),
        "with_more_watts": None if study.robust is None else _row(study.robust),
        "left_out": [sentence.replace("**", "") for sentence in LEFT_OUT],
        "made": {fact.name: fact.text for fact in made(study)},
    }


def _row(row: Row) -> dict[str, object]:
    slower = {
        priority: {f"p{percent}": _number(value) for percent, value in values.items()}
        for priority, values in row.slower.items()
    }
    return _outcome(row.outcome) | {
        "brakes": row.brakes,
        "trips": row.trips,
        "max_load": row.max_load,
        "within_budget": row.is_within,
        "keeps_objectives": row.keeps_objectives,
        "slower": slower,
    }


def _outcome(one: Outcome) -> dict[str, object]:
    load, replayed = one.load, one.replayed
    return {
        "policy": one.case.title,
        "policy_hash": one.policy_hash,
        "servers": one.case.servers,
        "requests": one.requests,
        "mean_load": load.load_seconds / load.seconds,
        "max_load": load.max_load,
        "p99_load": _number(load.p(99)),
        "rise_2s": load.rise_2s,
        "rise_40s": load.rise_40s,
        "brakes": load.brakes,
        "trips": load.trips,
        "max_heat": load.max_heat,
        "levels_s": {str(level): count for level, count in one.levels.items()},
        "capped_s": one.capped_s,
        "replayed": {
            "windows": replayed.windows,
            "of_windows": one.windows,
            "seconds": replayed.seconds,
            "agreed": replayed.agreed,
            "brakes": replayed.brakes,
            "max_load": replayed.max_load,
            "energy_error": _number(replayed.energy_error),
            "worst_second": replayed.worst_second,
        },
    }


def _number(value: float) -> float | None:
    return None if value != value else value
