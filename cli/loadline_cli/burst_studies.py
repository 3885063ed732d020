"""
`loadline study bursts`: reads the traces, runs the study, prints its main figures and writes its report.

The study is the simulator's; this module turns options into its settings, and errors into hints.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadline_cli import traces
from loadline_cli.exits import Exit
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.report_files import Shown, write_report
from loadline_cli.study_runs import RunOptions, ran
from loadline_cli.traces import TraceOptions
from loadline_sim.progress import Progress
from loadline_sim.reports import burst_pages, formats
from loadline_sim.studies import bursts as studies
from loadline_sim.studies.burst_searches import Fleet
from loadline_sim.studies.bursts import Named, Played, Settings, Study

ALWAYS: Final = ("agents", "servegen-large")
"""What every fleet is tried with, beside the user's traces."""


def bursts(
    run: RunOptions,
    shown: Shown,
    options: TraceOptions,
    *,
    sources: Sequence[str],
    fleet: Fleet,
    ttft_ms: float,
    tpot_ms: float,
    share: float,
) -> Exit:
    """Run the study and write its report; `options` are those of every trace but its source."""

    def answered(file: Path, progress: Progress) -> Study:
        settings = Settings(
            fleet=fleet, ttft_s=ttft_ms / 1e3, tpot_s=tpot_ms / 1e3, share=share, seed=options.seed
        )
        named = [
            _named(replace(options, source=source), settings, progress)
            for source in dict.fromkeys((*ALWAYS, *sources))
        ]
        return studies.run(settings, named, file, jobs=run.processes, resume=run.resume, progress=progress)

    study = ran(answered, shown.out)
    show(study, shown.output)
    write_report(lambda folder: burst_pages.write(study, folder), shown.out, open_report=shown.open_report)
    return Exit.OK


def _named(options: TraceOptions, settings: Settings, progress: Progress) -> Named:
    aside().print(f"reading {options.source}", soft_wrap=True)
    requests, notes = traces.load(options, progress)
    requests, notes = traces.held(requests, notes, (settings.fleet.design,))
    return Named(name=options.source, trace=requests.from_first(), notes=notes)


def show(study: Study, output: Output) -> None:
    """Print the main figures on stdout, as tables or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(burst_pages.summary_of(study))
        return
    console = screen()
    console.print("\n".join(burst_pages.verdict(study)) + "\n", soft_wrap=True)
    figures = ("servers", "range", "carried", "independent", "burstiness")
    rows = table("requests", *figures, right=frozenset(figures))
    for one in study.costs:
        value, low, high = (formats.MISSING if ratio is None else f"{ratio:.2f}" for ratio in one.servers)
        carried, independent = (_rate(played) for played in (one.coming, one.independent))
        gaps = formats.number(one.coming.burstiness.gaps)
        rows.add_row(one.name, f"{value}×", f"{low}-{high}", carried, independent, gaps)
    console.print(rows)
    console.print(
        "(servers: over those for independent requests; carried: requests a second; range: steps "
        f"{formats.percent(study.design.engine.step_error)} faster to slower, the model's error)\n",
        soft_wrap=True,
    )


def _rate(played: Played) -> str:
    return formats.MISSING if played.rate is None else f"{played.rate:.3g}/s"
