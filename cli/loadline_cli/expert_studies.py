"""
`loadline study experts`: reads a routing, runs the study, prints its main figures and writes its report.

The study is the simulator's; this module turns options into its settings, and errors into hints.
"""

from pathlib import Path

from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_cli.report_files import write_report
from loadline_policies.errors import InvalidInput
from loadline_sim.experts import routing_files, studies
from loadline_sim.experts.routings import Routing
from loadline_sim.experts.settings import EXAMPLE_PARAMETERS, Settings
from loadline_sim.experts.studies import Study
from loadline_sim.reports import expert_pages, formats
from loadline_sim.reports.checks import kept


def experts(
    trace: Path | None,
    *,
    expert_parameters: int | None,
    experts_per_layer: int | None,
    tokens: int | None,
    precision: str,
    memory_gib: float | None,
    slots: int | None,
    batch: int,
    link_gbs: float,
    layer_ms: float,
    queued: int,
    waiting: int,
    grouped: int,
    seed: int,
    out: Path,
    open_report: bool,
    output: Output,
) -> Exit:
    """Run the study and write its report into `out`; FAILURE if one of its checks fails."""
    if trace is not None and expert_parameters is None:
        raise CommandError(
            "`--expert-params` is needed with a TRACE",
            hint="give the weights of one routed expert: 3 × hidden size × expert width for a gated MLP",
        )
    try:
        settings = Settings(
            expert_parameters=expert_parameters or EXAMPLE_PARAMETERS,
            precision=precision,
            memory_gib=memory_gib,
            slots=slots,
            batch=batch,
            link_gbs=link_gbs,
            layer_ms=layer_ms,
            queued=queued,
            waiting=waiting,
            grouped=grouped,
            seed=seed,
        )
        with progress_bars() as progress:
            progress("reading the routing", 0.0)
            routing = read(trace, experts_per_layer=experts_per_layer)
            progress("reading the routing", 1.0)
            study = studies.run(routing if tokens is None else routing.first(tokens), settings, progress)
    except InvalidInput as error:
        raise CommandError(f"`{error.field}` is {error.shown}", hint=error.fix) from error
    show(study, output)
    write_report(lambda folder: expert_pages.write(study, folder), out, open_report=open_report)
    return Exit.OK if kept(expert_pages.checks_of(study)) else Exit.FAILURE


def read(trace: Path | None, *, experts_per_layer: int | None) -> Routing:
    """The routing at a path, or the example; CommandError if the path can't be read."""
    if trace is None:
        return routing_files.example()
    try:
        return routing_files.read(trace, experts=experts_per_layer)
    except OSError as error:
        raise CommandError(
            f"can't read `{trace}`: {(error.strerror or 'unknown error').lower()}",
            hint="name a CSV file or a folder, or leave TRACE out for the example",
        ) from error


def show(study: Study, output: Output) -> None:
    """Print the main figures on stdout, as tables or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(expert_pages.summary_of(study))
        return
    console = screen()
    console.print(
        f"{study.slots} of {study.routing.model_experts} experts in memory "
        f"({formats.gibibytes(study.memory_bytes)}, {study.settings.precision}), "
        f"in batches of {study.settings.batch}\n",
        soft_wrap=True,
    )
    figures = ("hits", "moved/token", "stall/token")
    rows = table("policy", *figures, right=frozenset(figures))
    for one in study.outcomes:
        title = one.policy.title if one.policy.buildable else f"({one.policy.title})"
        rows.add_row(
            title,
            formats.percent(one.replay.hit_ratio),
            formats.megabytes(one.bytes_per_token),
            formats.seconds(one.stall_s),
        )
    console.print(rows)
    console.print("(in brackets: bounds, and what needs another kind of model)\n")
    figures = ("in memory", "hits", "stall/token")
    rows = table("precision", "best policy", *figures, right=frozenset(figures))
    for each in study.precisions:
        rows.add_row(
            f"{each.precision.name} (paper)" if each.precision.paper else each.precision.name,
            each.best.policy.title,
            formats.percent(each.slots / study.routing.model_experts),
            formats.percent(each.best.replay.hit_ratio),
            formats.seconds(each.best.stall_s),
        )
    console.print(rows)
