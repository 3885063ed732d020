"""
The report of a simulated fleet, as a page and as a summary; of a size also every fleet that was tried for.

Both are filled from the same answer, so that they can't differ. The verdict says no more than the range of
the engine's error allows: where a fleet keeps its objectives only if its steps are as modelled, it says so.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from loadline_sim.capacity.questions import Answer, Design, Figures, Result
from loadline_sim.capacity.sizes import Size
from loadline_sim.reports import capacity_plots, formats, page_files
from loadline_sim.reports.runs import Fact, provenance
from loadline_sim.traffic import named_traces
from loadline_sim.traffic.statistics import Statistics, statistics

LEFT_OUT: Final = (
    "**Power limits and clocks**: every GPU runs at its full clock.",
    "**Failures**: no server is lost, none is added, none is replaced.",
)

NAMES: Final = {
    "ttft": "Time to the first token",
    "tpot": "Time per further token",
    "e2e": "Time to the last",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page is made of; `sizes` where the fleet was looked for, `trace_name` as the user named it."""

    answer: Answer
    trace_name: str
    seed: int
    notes: tuple[str, ...] = ()
    sizes: Sequence[Size] = ()


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(report), summary=summary_of(report))


def html(report: Report) -> str:
    """The HTML page."""
    return page_files.rendered(
        "capacity.html",
        report=report,
        answer=report.answer,
        design=report.answer.design,
        engine=report.answer.design.engine,
        trace=statistics(report.answer.trace),
        verdict=verdict(report.answer),
        fleet=report.answer.design.in_words,
        rows=rows(report.answer),
        sizes=[(one, one.design.in_words, count_range(one)) for one in report.sizes],
        left_out=left_out(report.answer),
        prefixes=prefixes(report.answer),
        made=made(report),
        plots=page_files.drawings(lambda wide: _drawn(report.answer, wide=wide)),
    )


def left_out(answer: Answer) -> tuple[str, ...]:
    """What the simulation has nothing of."""
    kept = "**Answers in the prefix cache**: what a next prompt repeats of an answer is computed again."
    if answer.outcomes.hit_share != answer.outcomes.hit_share:
        kept = "**Prefix caching**: each prompt is computed whole, also if its beginning was before."
    return (kept, *LEFT_OUT, f"**The engine**: {answer.design.engine.left_out}")


def prefixes(answer: Answer) -> str:
    """What servers kept of prompts, in a sentence."""
    if not answer.design.keeps_prefixes:
        return "Servers keep nothing of prompts: `--no-prefix-cache`."
    if answer.trace.prefixes is None:
        return "Which prompts begin alike isn't known of this trace, so each is computed whole."
    return f"{formats.percent(answer.outcomes.hit_share)} of the prompt tokens were kept on their servers."


def _drawn(answer: Answer, *, wide: bool) -> dict[str, str]:
    drawn = {name: capacity_plots.latencies(answer, name=name, wide=wide) for name in NAMES}
    drawn["rates"] = capacity_plots.rates(answer, wide=wide)
    drawn["first"] = capacity_plots.first_tokens(answer, wide=wide)
    return drawn


def verdict(answer: Answer) -> str:
    """In a sentence or two, whether the objectives are kept, and how sure that is."""
    objectives, kept = answer.objectives, answer.result.kept_share
    if not objectives.any:
        return f"{formats.percent(kept)} of the requests are served; no objective was given."
    error = formats.percent(answer.design.engine.step_error)
    low, high = sorted((answer.faster.kept_share, answer.slower.kept_share))
    goal = formats.percent(objectives.share)
    begins = f"{formats.percent(kept)} of the requests keep the objectives; {goal} was asked for."
    if low >= objectives.share:
        return f"{begins} That holds also if the engine's steps are {error} slower, its model's error."
    if high < objectives.share:
        return f"{begins} Steps that are faster by the engine's error ({error}) wouldn't be enough either."
    return (
        f"{begins} The engine's model can't decide it: with steps {error} faster or slower it is "
        f"{formats.percent(low)} to {formats.percent(high)}."
    )


def count_range(one: Size) -> str:
    """The counts of servers between which the answer lies if the engine's steps are off by its error."""
    ends = [MORE if count is None else str(count) for count in (one.fewest, one.most)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


MORE: Final = "more"


def rows(answer: Answer) -> list[tuple[str, float | None, Figures, tuple[float, float]]]:
    """Each latency: what it is called, its objective, its figures, and its p99 with faster and with slower
    steps."""
    objectives = {
        "ttft": answer.objectives.ttft_s,
        "tpot": answer.objectives.tpot_s,
        "e2e": answer.objectives.e2e_s,
    }
    return [
        (
            title,
            objectives[name],
            _of(answer.result, name),
            (_of(answer.faster, name).p(99), _of(answer.slower, name).p(99)),
        )
        for name, title in NAMES.items()
    ]


def _of(result: Result, name: str) -> Figures:
    figures: Figures = getattr(result, name)
    return figures


def made(report: Report) -> tuple[Fact, ...]:
    """How to reproduce the report."""
    design = report.answer.design
    return (
        *provenance(),
        Fact("Trace", named_traces.in_words(report.trace_name)),
        Fact("Seed", str(report.seed)),
        Fact("Engine", f"`{design.engine.name}`: {design.engine.title}"),
        Fact("Router", f"`{design.router_name}`"),
        Fact("Served first", "by the trace's priorities" if design.by_priority else "who came first"),
        Fact("Steps", f"at most {design.most_sequences} requests and {design.most_tokens} tokens"),
        Fact("Known by", f"{design.engine.known_by}; mean error {formats.percent(design.engine.step_error)}"),
    )


def summary_of(report: Report) -> dict[str, object]:
    """The figures behind the page, in plain types; seconds, and shares from 0 to 1; null is unknown."""
    answer = report.answer
    return {
        "ok": answer.is_met,
        "verdict": verdict(answer),
        "trace": {"name": report.trace_name, **_plain(statistics(answer.trace)), "notes": list(report.notes)},
        "fleet": _design(answer.design),
        "objectives": asdict(answer.objectives),
        "result": _result(answer.result),
        "faster": _result(answer.faster),
        "slower": _result(answer.slower),
        "unserved": answer.unserved,
        "prefix_hit_share": _number(answer.outcomes.hit_share),
        "sizes": [
            _design(one.design)
            | {"met": one.is_met, "kept_share": one.share, "alone_share": one.alone_share}
            | {"fewest": one.fewest, "most": one.most, "simulations": one.simulated}
            for one in report.sizes
        ],
        "left_out": [sentence.replace("**", "") for sentence in left_out(answer)],
        "made": {fact.name: fact.text for fact in made(report)},
    }


def _design(design: Design) -> dict[str, object]:
    engine = design.engine
    return {
        "engine": engine.name,
        "step_error": engine.step_error,
        "servers": design.servers,
        "prefill_servers": design.prefill_servers,
        "gpus": design.gpus,
        "most_sequences": design.most_sequences,
        "most_tokens": design.most_tokens,
    }


def _result(result: Result) -> dict[str, object]:
    figures = {
        f"{name}_s": {"mean": _number(_of(result, name).mean)}
        | {f"p{percent}": _number(_of(result, name).p(percent)) for percent in (50, 90, 99)}
        for name in NAMES
    }
    return {"kept_share": result.kept_share, **figures}


def _plain(figures: Statistics) -> dict[str, object]:
    return {
        name: {k: _number(v) for k, v in value.items()} if isinstance(value, dict) else _number(value)
        for name, value in asdict(figures).items()
    }


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value
