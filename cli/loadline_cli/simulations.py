"""
`loadline simulate` and `loadline size`: simulate fleets, print the figures, and write the report.

The questions are the simulator's; this module turns options into them, and errors into hints.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from loadline_cli import traces
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_cli.report_files import Shown, write_report
from loadline_cli.traces import TraceOptions
from loadline_policies.errors import InvalidInput
from loadline_sim.capacity import questions, sizes
from loadline_sim.capacity.engines import engine_of
from loadline_sim.capacity.objectives import Objectives
from loadline_sim.capacity.questions import Design
from loadline_sim.capacity.sizes import Size
from loadline_sim.progress import Progress
from loadline_sim.reports import capacity_pages, formats
from loadline_sim.reports.capacity_pages import Report
from loadline_sim.traffic.traces import Trace

TITLES = ("first token", "each further", "last token")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """Objectives as they are typed: milliseconds, seconds, and a share of requests."""

    ttft_ms: float | None
    tpot_ms: float | None
    e2e_s: float | None
    share: float

    def objectives(self) -> Objectives:
        """In seconds; InvalidInput names the one that is none."""
        return Objectives(
            ttft_s=None if self.ttft_ms is None else self.ttft_ms / 1e3,
            tpot_s=None if self.tpot_ms is None else self.tpot_ms / 1e3,
            e2e_s=self.e2e_s,
            share=self.share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """How servers fill their steps, whether they keep blocks of prompts, and which router they have."""

    most_sequences: int
    most_tokens: int
    keeps_prefixes: bool
    routing: str
    by_priority: bool


def simulate(
    trace: TraceOptions,
    asked_for: ObjectiveOptions,
    shown: Shown,
    *,
    engine: str,
    servers: int,
    prefill_servers: int,
    steps: StepOptions,
) -> Exit:
    """Simulate one fleet; FAILURE if it misses its objectives."""

    def asked(requests: Trace, notes: tuple[str, ...], progress: Progress) -> Report:
        design = Design(
            engine=engine_of(engine),
            servers=servers,
            prefill_servers=prefill_servers,
            **asdict(steps),
        )
        requests, notes = traces.held(requests, notes, (design,))
        answer = questions.answer(requests, design, asked_for.objectives(), progress=progress)
        return Report(answer=answer, trace_name=trace.source, seed=trace.seed, notes=notes)

    return _answered(trace, shown, asked)


def size(
    trace: TraceOptions,
    asked_for: ObjectiveOptions,
    shown: Shown,
    *,
    engines: Sequence[str],
    gpus: int,
    steps: StepOptions,
) -> Exit:
    """Find the fewest GPUs that keep the objectives; FAILURE if none that are allowed do."""

    def asked(requests: Trace, notes: tuple[str, ...], progress: Progress) -> Report:
        objectives = asked_for.objectives()
        designs = [
            Design(engine=engine_of(name), servers=1, **asdict(steps)) for name in dict.fromkeys(engines)
        ]
        requests, notes = traces.held(requests, notes, designs)
        found = []
        for design in designs:
            most = gpus // design.engine.gpus
            if not most:
                fix = f"one server of {design.engine.name} has {design.engine.gpus}"
                raise InvalidInput("gpus", gpus, fix=fix)
            found += [
                sizes.size(requests, design, objectives, most_servers=most, splits=splits, progress=progress)
                for splits in (False, True)[:most]
            ]
        best = min(found, key=lambda one: (not one.is_met, one.design.gpus, -one.share))
        answer = questions.answer(requests, best.design, objectives, progress=progress)
        return Report(answer=answer, trace_name=trace.source, seed=trace.seed, notes=notes, sizes=found)

    return _answered(trace, shown, asked)


def _answered(
    trace: TraceOptions, shown: Shown, asked: Callable[[Trace, tuple[str, ...], Progress], Report]
) -> Exit:
    """Read the trace, ask the question, show the answer."""
    try:
        with progress_bars() as progress:
            report = asked(*traces.load(trace, progress), progress)
    except InvalidInput as error:
        raise CommandError(f"`{error.field}` is {error.shown}", hint=error.fix) from error
    show(report, shown.output)
    write_report(
        lambda folder: capacity_pages.write(report, folder), shown.out, open_report=shown.open_report
    )
    answer = report.answer
    return Exit.OK if answer.is_met or not answer.objectives.any else Exit.FAILURE


def show(report: Report, output: Output) -> None:
    """Print the main figures on stdout, as tables or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(capacity_pages.summary_of(report))
        return
    console, answer = screen(), report.answer
    engine = answer.design.engine
    if report.sizes:
        console.print(_sizes(report.sizes))
        console.print()
    console.print(
        f"{engine.title}: {answer.design.in_words}; {answer.design.gpus} GPUs\n"
        f"{capacity_pages.verdict(answer)}\n{capacity_pages.prefixes(answer)}\n",
        soft_wrap=True,
    )
    figures = ("objective", "mean", "p50", "p90", "p99", "p99, range")
    rows = table("time to", *figures, right=frozenset(figures))
    for title, (_, objective, one, ends) in zip(TITLES, capacity_pages.rows(answer), strict=True):
        cells = (objective, one.mean, one.p(50), one.p(90), one.p(99))
        between = f"{formats.seconds(ends[0])} to {formats.seconds(ends[1])}"
        rows.add_row(title, *(formats.seconds(cell) for cell in cells), between)
    console.print(rows)
    console.print(
        f"(range: steps {formats.percent(engine.step_error)} faster to slower, the model's error)\n"
    )


def _sizes(found: Sequence[Size]) -> object:
    figures = ("GPUs", "servers, range", "kept for")
    rows = table("engine", "fewest servers", *figures, right=frozenset(figures))
    for one in found:
        words = one.design.in_words
        rows.add_row(
            one.design.engine.name,
            words if one.is_met else f"not even {words}",
            str(one.design.gpus),
            capacity_pages.count_range(one),
            formats.percent(one.share),
        )
    return rows
