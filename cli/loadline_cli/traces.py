"""
The trace that a command is about: a file, or one that ships with the simulator, as the options want it.

Whatever was changed on the way (rows left out, times spread, requests copied) is told in notes, on stderr
and in the report: a figure is only as good as the requests behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadline_cli.exits import CommandError
from loadline_cli.outputs import aside
from loadline_policies.errors import InvalidInput
from loadline_sim.capacity import questions
from loadline_sim.capacity.questions import Design
from loadline_sim.progress import Progress
from loadline_sim.reports import formats
from loadline_sim.traffic import arrivals, layouts, named_traces, spreading, trace_files
from loadline_sim.traffic.traces import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What to read and what to make of it; `hours` cut a file, `rate` multiplies its requests."""

    source: str
    columns: str | None
    skip_bad: bool
    hours: float | None
    rate: float
    seed: int


def load(options: TraceOptions, progress: Progress) -> tuple[Trace, tuple[str, ...]]:
    """The trace from its first request on, and what was done to it; InvalidInput, or CommandError."""
    trace, notes = _source(options, progress)
    if options.hours is not None:
        trace = trace.between(0.0, options.hours * named_traces.HOUR_S)
    real = (trace.prompt_tokens > 0) & (trace.output_tokens > 0)
    if not real.all():
        notes.append(f"{int((~real).sum())} requests without a prompt or an answer are left out.")
        trace = trace.select(real)
    if options.rate != 1.0:
        trace = arrivals.scaled(trace, options.rate, seed=options.seed)
        notes.append(f"There are {options.rate:g} times as many requests, each moved by up to 20 s.")
    if not len(trace):
        raise InvalidInput("trace", options.source, fix="give a trace with at least one request in this time")
    for note in notes:
        aside().print(f"note: {note}", soft_wrap=True)
    return trace.from_first(), tuple(notes)


def held(requests: Trace, notes: tuple[str, ...], designs: Sequence[Design]) -> tuple[Trace, tuple[str, ...]]:
    """The requests for which each of the designs has memory, and a note of the others."""
    good = np.logical_and.reduce([questions.held(requests, design) for design in designs])
    if good.all():
        return requests, notes
    if not good.any():
        longest = int((requests.prompt_tokens + requests.output_tokens).min())
        raise InvalidInput(
            "trace", f"{longest} tokens or more a request", fix="name an engine with more memory"
        )
    share = formats.percent(1.0 - float(good.mean()))
    note = f"{int((~good).sum())} requests ({share}) are longer than a server holds; they are left out."
    aside().print(f"note: {note}", soft_wrap=True)
    return requests.select(good), (*notes, note)


def _source(options: TraceOptions, progress: Progress) -> tuple[Trace, list[str]]:
    path = Path(options.source)
    if options.source in named_traces.NAMED:
        progress("making the trace", 0.0)
        made = named_traces.named(options.source, hours=options.hours or 1.0, seed=options.seed)
        progress("making the trace", 1.0)
        return made, []
    layout = None if options.columns is None else layouts.parsed(options.columns)
    try:
        read = trace_files.read(
            path,
            layout=layout,
            skip_bad=options.skip_bad,
            told=lambda share: progress("reading the trace", share),
        )
    except OSError as error:
        names = ", ".join(named_traces.NAMED)
        raise CommandError(
            f"can't read `{path}`: {(error.strerror or 'unknown error').lower()}",
            hint=f"name a .csv, .jsonl or .parquet file, or one of {names}",
        ) from error
    trace = read.trace.from_first()
    spread = spreading.spread(trace, seed=options.seed)
    step = f"Times were noted in steps of {spreading.step_of(trace):g} s; requests are spread over these."
    return spread, [*read.skipped.notes("rows"), *([] if spread is trace else [step])]
