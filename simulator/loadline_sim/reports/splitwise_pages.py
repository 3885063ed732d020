"""
The report of the study of Splitwise, as a page and as a summary.

Both are filled from one `Study`, so that they can't differ. The verdict counts which of the paper's
statements hold here in the whole range of the models' error; figures of the paper are marked wherever they
stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadline_sim.reports import formats, page_files, splitwise_plots
from loadline_sim.reports.runs import Fact, provenance
from loadline_sim.studies import splitwise_claims
from loadline_sim.studies.slowdowns import OBJECTIVES
from loadline_sim.studies.splitwise import Carried, Study
from loadline_sim.studies.splitwise_claims import MOVED, PUBLISHED_LOSS, Judged, Judgement, Moved
from loadline_sim.studies.splitwise_designs import H100

LEFT_OUT: Final = (
    "**Power that is drawn**: only what is provisioned counts, as in the paper. A capped H100 is "
    "splitwise-sim's assumption: prompts take 1.3 times as long, tokens no longer; nobody measured it.",
    "**The search for proportions**: servers are those of the paper's tables, which it found by a search "
    "of its own. Another proportion may carry more here.",
    "**Engines of today**: batches, queues and transfers are those of splitwise-sim, not vLLM's; "
    "`loadline size` has these.",
    "**Bursts**: requests come independently, as in the paper. `loadline study bursts` asks what bursts "
    "cost.",
    "**Errors that differ by step**: the range moves all steps of a GPU together, and leaves what an idle "
    "A100 takes, by which the objectives are defined, as it was measured.",
    "**Chance**: one draw of requests. The range doesn't have what another seed would say; `--seed` does.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A design of a table, with what is relative to Baseline-H100; None where a rate is unknown."""

    carried: Carried
    power: float
    cost: float
    by_power: float | None
    by_cost: float | None


def write(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(study), summary=summary_of(study))


def html(study: Study) -> str:
    """The HTML page."""
    budgets, services = study.settings.budgets, study.settings.services
    return page_files.rendered(
        "splitwise.html",
        study=study,
        title=title(study),
        verdict=verdict(study),
        judged=splitwise_claims.judged(study),
        by_budget=[
            (budget, [(service, rows(study.table(budget, service))) for service in services])
            for budget in budgets
        ],
        first_budget=[one for service in services for one in study.table(budgets[0], service)],
        objectives=OBJECTIVES,
        moved=splitwise_claims.moved(study),
        moved_names=MOVED,
        published_loss=PUBLISHED_LOSS,
        left_out=LEFT_OUT,
        made=made(study),
        plots=page_files.drawings(lambda wide: _drawn(study, wide=wide)),
    )


def _drawn(study: Study, *, wide: bool) -> dict[str, str]:
    drawn = {}
    for budget in study.settings.budgets:
        for service in study.settings.services:
            name, table = f"{budget}-{service}", study.table(budget, service)
            drawn[f"rates-{name}"] = splitwise_plots.rates(table, name=name, wide=wide)
    for service in study.settings.services:
        table = study.table(study.settings.budgets[0], service)
        drawn[f"pressures-{service}"] = splitwise_plots.pressures(table, name=service, wide=wide)
    return drawn


def rows(table: Sequence[Carried]) -> list[Row]:
    """The designs of a table, beside its Baseline-H100."""
    base = next(one for one in table if one.design.name == H100)
    made = []
    for one in table:
        power, cost = one.design.power / base.design.power, one.design.cost / base.design.cost
        rate = None if one.rate is None or base.rate is None else one.rate / base.rate
        made.append(
            Row(
                carried=one,
                power=power,
                cost=cost,
                by_power=None if rate is None else rate / power,
                by_cost=None if rate is None else rate / cost,
            )
        )
    return made


def title(study: Study) -> str:
    """What was found, in a few words."""
    found = splitwise_claims.judged(study)
    holding = splitwise_claims.counted(found, Judgement.HOLDS)
    return f"{holding} of {len(found)} comparisons come out as Splitwise says"


def verdict(study: Study) -> list[str]:
    """What holds of what the paper says, what doesn't, and what the models' error leaves open."""
    found = splitwise_claims.judged(study)
    said = [_counted(found)]
    said += [_told(words, [one for one in found if one.claim.words == words]) for words in _statements(found)]
    return [*said, *_lost(splitwise_claims.moved(study))]


def _statements(found: Sequence[Judged]) -> list[str]:
    return list(dict.fromkeys(one.claim.words for one in found))


def _counted(found: Sequence[Judged]) -> str:
    holding, failing, open_ = (
        splitwise_claims.counted(found, one)
        for one in (Judgement.HOLDS, Judgement.FAILS, Judgement.UNDECIDED)
    )
    text = (
        f"What Splitwise's paper says was simulated again, on each service's requests. Of {len(found)} "
        f"comparisons {holding} come out as it says, also if the engines' steps are faster or slower than "
        f"measured by the error of their models; {failing} {'does' if failing == 1 else 'do'} not"
    )
    return f"{text}, and {open_} would be turned round within that error." if open_ else f"{text}."


def _told(words: str, found: Sequence[Judged]) -> str:
    """One statement on every service."""
    parts = []
    for one in found:
        low, high = times(one.ratio.low), times(one.ratio.high)
        turns = ", which the range turns round" if one.judgement is Judgement.UNDECIDED else ""
        fails = ", so it doesn't hold" if one.judgement is Judgement.FAILS else ""
        parts.append(f"{times(one.ratio.value)} with {one.service} ({low} to {high}){turns}{fails}")
    return f"{words}: {'; '.join(parts)}. The paper says {found[0].claim.published}."


def _lost(found: Sequence[Moved]) -> list[str]:
    ratios = [one.ratio for one in found if one.name in MOVED and one.ratio is not None]
    if not ratios:
        return []
    low, high = formats.percent(min(ratios)), formats.percent(max(ratios))
    return [
        f"On requests of the service that they aren't made for, HA and HHcap carry {low} to {high} of "
        f"what they do in the proportion made for these. The paper says that they lose {PUBLISHED_LOSS}."
    ]


def times(value: float | None) -> str:
    """A ratio with two decimals."""
    return formats.MISSING if value is None else f"{value:.2f}×"


def made(study: Study) -> tuple[Fact, ...]:
    """How to reproduce the report."""
    settings = study.settings
    return (
        *provenance(),
        Fact(
            "Requests",
            f"{settings.minutes:g} min, independent arrivals; lengths drawn from Azure's of 2023",
        ),
        Fact("Seed", f"{settings.seed}, the same for every fleet and rate"),
        Fact("Rates", f"from {settings.lowest:g} to {settings.highest:g} a second, found to 1 %"),
        Fact(
            "Engine",
            "BLOOM-176B, tensor parallel 8; steps, batches and routing as in splitwise-sim 8f99e7d (MIT)",
        ),
        Fact("Objectives", "Splitwise's nine, from splitwise-sim's `notebooks/plots.ipynb`"),
        Fact("Baselines", "join the shortest queue by tokens, mixed batches; the designs: mixed pools"),
        Fact(
            "Model error",
            "; ".join(f"{gpu} {formats.percent(error)}" for gpu, error in study.errors.items()),
        ),
    )


def summary_of(study: Study) -> dict[str, object]:
    """The figures behind the page, in plain types; rates a second, ratios; null is unknown."""
    return {
        "verdict": verdict(study),
        "settings": {
            "budgets": list(study.settings.budgets),
            "services": list(study.settings.services),
            "minutes": study.settings.minutes,
            "rates": [study.settings.lowest, study.settings.highest],
            "seed": study.settings.seed,
        },
        "step_errors": dict(study.errors),
        "objectives": {one.name: one.most for one in OBJECTIVES},
        "statements": [_judged(one) for one in splitwise_claims.judged(study)],
        "designs": [
            _row(row)
            for budget in study.settings.budgets
            for service in study.settings.services
            for row in rows(study.table(budget, service))
        ],
        "changed_workload": [
            {"design": one.name, "budget": one.budget, "service": one.service}
            | {"designed_for": one.designed_for, "ratio": one.ratio}
            for one in splitwise_claims.moved(study)
        ],
        "changed_workload_in_the_paper": f"HA and HHcap lose {PUBLISHED_LOSS}",
        "simulations": study.simulated,
        "left_out": [sentence.replace("**", "") for sentence in LEFT_OUT],
        "made": {fact.name: fact.text for fact in made(study)},
    }


def _judged(one: Judged) -> dict[str, object]:
    return {
        "statement": one.claim.words,
        "service": one.service,
        "paper": one.claim.published,
        "ratio": one.ratio.value,
        "low": one.ratio.low,
        "high": one.ratio.high,
        "judgement": one.judgement.value,
    }


def _row(row: Row) -> Mapping[str, object]:
    one = row.carried
    low, high = one.span
    return {
        "design": one.design.name,
        "budget": one.budget,
        "service": one.service,
        "servers": one.design.in_words,
        "rate": one.rate,
        "rate_is_the_highest_asked": one.is_at_most,
        "rate_low": low,
        "rate_high": high,
        "bound_by": one.binding.name if one.binding else None,
        "power": row.power,
        "cost": row.cost,
        "rate_by_power": row.by_power,
        "rate_by_cost": row.by_cost,
        "slowdowns": None
        if one.best is None
        else {each.name: value for each, value in zip(OBJECTIVES, one.best.slowdowns, strict=True)},
    }
