"""
`loadline study splitwise`: runs the study, prints its main figures and writes its report.

The study is the simulator's; this module turns options into its settings, and errors into hints.
"""

from collections.abc import Sequence
from typing import Final

from loadline_cli.exits import Exit
from loadline_cli.outputs import Output, print_json, screen, table
from loadline_cli.report_files import Shown, write_report
from loadline_cli.study_runs import RunOptions, ran
from loadline_policies.errors import InvalidInput
from loadline_sim.reports import formats, splitwise_pages
from loadline_sim.studies import splitwise as studies
from loadline_sim.studies import splitwise_claims
from loadline_sim.studies.splitwise import Settings, Study
from loadline_sim.studies.splitwise_designs import BUDGETS, SERVICES, Budget, Service

TRACES: Final[dict[str, Service]] = {f"azure-{service}": service for service in SERVICES}


def splitwise(
    run: RunOptions,
    shown: Shown,
    *,
    traces: Sequence[str],
    budgets: Sequence[str],
    rates: str,
    minutes: float,
    seed: int,
) -> Exit:
    """Run the study and write its report."""
    study = ran(
        lambda file, progress: studies.run(
            settings(traces, budgets, rates=rates, minutes=minutes, seed=seed),
            file,
            jobs=run.processes,
            resume=run.resume,
            progress=progress,
        ),
        shown.out,
    )
    show(study, shown.output)
    write_report(
        lambda folder: splitwise_pages.write(study, folder), shown.out, open_report=shown.open_report
    )
    return Exit.OK


def settings(
    traces: Sequence[str], budgets: Sequence[str], *, rates: str, minutes: float, seed: int
) -> Settings:
    """The options as settings; InvalidInput names the one that can't be used."""
    for trace in traces:
        if trace not in TRACES:
            raise InvalidInput("trace", trace, fix=f"use one of {', '.join(TRACES)}")
    for budget in budgets:
        if budget not in BUDGETS:
            raise InvalidInput("budget", budget, fix=f"use one of {', '.join(BUDGETS)}")
    low, _, high = rates.partition(":")
    try:
        lowest, highest = float(low), float(high)
    except ValueError as error:
        raise InvalidInput("rates", rates, fix="write LOW:HIGH, such as 1:500") from error
    chosen: tuple[Budget, ...] = tuple(one for one in BUDGETS if one in budgets)
    services: tuple[Service, ...] = tuple(one for name, one in TRACES.items() if name in traces)
    return Settings(
        budgets=chosen or BUDGETS,
        services=services or SERVICES,
        minutes=minutes,
        lowest=lowest,
        highest=highest,
        seed=seed,
    )


def show(study: Study, output: Output) -> None:
    """Print the main figures on stdout, as tables or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(splitwise_pages.summary_of(study))
        return
    console = screen()
    console.print("\n".join(splitwise_pages.verdict(study)) + "\n", soft_wrap=True)
    for budget in study.settings.budgets:
        for service in study.settings.services:
            console.print(f"the same {budget}, azure-{service}:")
            console.print(_table(study, budget, service))
    figures = ("paper", "here", "range")
    rows = table("statement", "requests", *figures, "here it", right=frozenset(figures))
    for one in splitwise_claims.judged(study):
        ends = f"{splitwise_pages.times(one.ratio.low)} to {splitwise_pages.times(one.ratio.high)}"
        published = one.claim.published.split(" (")[0]
        cells = one.service, published, splitwise_pages.times(one.ratio.value), ends, one.judgement.value
        rows.add_row(one.claim.short, *cells)
    console.print(rows)
    console.print("(paper: figures of Splitwise's paper; range: the error of the engines' models)\n")


def _table(study: Study, budget: Budget, service: Service) -> object:
    figures = ("req/s", "range", "per power", "per cost")
    rows = table("design", "servers", *figures, "bound by", right=frozenset(figures))
    for row in splitwise_pages.rows(study.table(budget, service)):
        one = row.carried
        low, high = (formats.MISSING if end is None else f"{end:.0f}" for end in one.span)
        rows.add_row(
            one.design.name,
            one.design.in_words,
            formats.MISSING if one.rate is None else f"{one.rate:.1f}",
            f"{low}-{high}",
            splitwise_pages.times(row.by_power),
            splitwise_pages.times(row.by_cost),
            one.binding.name if one.binding else formats.MISSING,
        )
    return rows
