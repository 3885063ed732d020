"""
`loadline simulate` and `loadline size`: their options and help texts, and nothing of what they do.
"""

from pathlib import Path
from typing import Annotated

import typer

from loadline_cli.exits import CommandError
from loadline_cli.fleet_options import (
    ENGINES,
    SERVERS,
    TRACE,
    ColumnsOption,
    E2eOption,
    HoursOption,
    Policy,
    PolicyOption,
    PrefillOption,
    PrefixOption,
    RateOption,
    Router,
    RouterOption,
    SeedOption,
    SequencesOption,
    ShareOption,
    SkipOption,
    TokensOption,
    TpotOption,
    TtftOption,
)
from loadline_cli.options import OpenOption, OutOption, OutputOption
from loadline_cli.outputs import Output

SEE_HELP = "see `loadline simulate --help`"

OF_JOURNALS = frozenset({"from_journal", "policy", "skip_bad", "output"})
"""Parameters of `simulate` that may be given with `--from-journal`."""


def simulate(  # noqa: PLR0917
    context: typer.Context,
    trace: Annotated[str | None, TRACE] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="NAME", help=f"{ENGINES}."),
    ] = None,
    servers: Annotated[int | None, SERVERS] = None,
    prefill_servers: PrefillOption = 0,
    ttft_ms: TtftOption = None,
    tpot_ms: TpotOption = None,
    e2e_s: E2eOption = None,
    share: ShareOption = 0.99,
    rate: RateOption = 1.0,
    hours: HoursOption = None,
    columns: ColumnsOption = None,
    skip_bad: SkipOption = False,
    max_num_seqs: SequencesOption = 256,
    max_num_batched_tokens: TokensOption = 2048,
    router: RouterOption = Router.QUEUES,
    prefix_cache: PrefixOption = True,
    scheduling_policy: PolicyOption = Policy.FCFS,
    seed: SeedOption = 1,
    out: OutOption = Path("build/simulate"),
    open_report: OpenOption = False,
    from_journal: Annotated[
        list[Path] | None,
        typer.Option(
            "--from-journal",
            metavar="FILE",
            help="Instead of TRACE, replay the power decisions in the journal of a coordinator's agent (also "
            ".gz, .xz); may be repeated, oldest first.",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="With --from-journal: replay with this policy document instead of those recorded.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Simulate a trace on a fleet of servers, or replay the decisions of a live power domain.

    \b
    An hour of chat on 12 servers; takes some seconds and no GPU:
      loadline simulate azure-chat --engine a100-bloom-176b --servers 12 --ttft-ms 2000 --tpot-ms 100
    Your own requests, twice as many of them, with prompts apart:
      loadline simulate requests.csv --engine h100-bloom-176b --servers 8 --prefill-servers 3 --rate 2

    Every step of every server is simulated: continuous batching as vLLM does it, with prompts
    in pieces, KV memory in blocks, preemption, and prefill apart from decode. A request goes
    to the server with the fewest pending tokens. Steps take what was measured of the engine;
    the answer is given for that, and for steps faster and slower by the error of the model.

    \b
    TRACE has a row for each request, in order of time:
      arrival_s,prompt_tokens,output_tokens
      0.25,1200,180

    \b
    Whether this version decides as the recorded agent did, and how another policy would have decided:
      loadline simulate --from-journal journal.jsonl
      loadline simulate --from-journal journal.jsonl --policy power.yaml

    An agent keeps such a file with the chart's `agent.journal.enabled`, or with the options
    `--journal` and `--journal-observations`. Recorded loads stay as they were under the recorded
    caps, whatever another policy would have changed.

    Exit codes: 0 objectives kept or each decision the same, 1 missed or different, 2 could not run.
    """
    if from_journal:
        from loadline_cli import journal_replays

        _refuse_beside_journals(context)
        raise typer.Exit(
            journal_replays.replay(from_journal, policy=policy, skip_bad=skip_bad, output=output)
        )
    if policy is not None:
        raise CommandError("`--policy` is given without `--from-journal`", hint=SEE_HELP)
    if trace is None or engine is None or servers is None:
        needed = {"TRACE": trace, "--engine": engine, "--servers": servers}
        missing = next(name for name, value in needed.items() if value is None)
        raise CommandError(f"`{missing}` is missing, and so is `--from-journal`", hint=SEE_HELP)
    from loadline_cli import simulations
    from loadline_cli.report_files import Shown
    from loadline_cli.simulations import ObjectiveOptions, StepOptions
    from loadline_cli.traces import TraceOptions

    code = simulations.simulate(
        TraceOptions(source=trace, columns=columns, skip_bad=skip_bad, hours=hours, rate=rate, seed=seed),
        ObjectiveOptions(ttft_ms=ttft_ms, tpot_ms=tpot_ms, e2e_s=e2e_s, share=share),
        Shown(out=out, open_report=open_report, output=output),
        engine=engine,
        servers=servers,
        prefill_servers=prefill_servers,
        steps=StepOptions(
            most_sequences=max_num_seqs,
            most_tokens=max_num_batched_tokens,
            keeps_prefixes=prefix_cache,
            routing=router.value,
            by_priority=scheduling_policy is Policy.PRIORITY,
        ),
    )
    raise typer.Exit(code)


def _refuse_beside_journals(context: typer.Context) -> None:
    """Raise CommandError for the first parameter that was given and means nothing to a journal's replay."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in OF_JOURNALS and source is not None and source.name == "COMMANDLINE":
            name = parameter.opts[0] if parameter.opts[0].startswith("-") else "TRACE"
            raise CommandError(f"`{name}` means nothing to `--from-journal`", hint="leave one of the two out")


def size(  # noqa: PLR0917
    trace: Annotated[str, TRACE],
    engine: Annotated[
        list[str],
        typer.Option(
            "--engine",
            metavar="NAME",
            help=f"{ENGINES}; may be repeated.",
        ),
    ],
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", min=1, max=32768, help="GPUs at most.")] = 1024,
    ttft_ms: TtftOption = None,
    tpot_ms: TpotOption = None,
    e2e_s: E2eOption = None,
    share: ShareOption = 0.99,
    rate: RateOption = 1.0,
    hours: HoursOption = None,
    columns: ColumnsOption = None,
    skip_bad: SkipOption = False,
    max_num_seqs: SequencesOption = 256,
    max_num_batched_tokens: TokensOption = 2048,
    router: RouterOption = Router.QUEUES,
    prefix_cache: PrefixOption = True,
    scheduling_policy: PolicyOption = Policy.FCFS,
    seed: SeedOption = 1,
    out: OutOption = Path("build/size"),
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find the fewest servers that keep a trace's latency objectives, and report them.

    \b
    How many A100 or H100 servers an hour of chat needs; takes some seconds:
      loadline size azure-chat --engine a100-bloom-176b --engine h100-bloom-176b --ttft-ms 2000 --tpot-ms 100
    At most 64 GPUs, for 95 % of three times your own requests:
      loadline size requests.csv --engine h100-bloom-176b --gpus 64 --rate 3 --e2e-s 30 --share 0.95

    For each engine two fleets are sized: servers that do everything, and servers for prompts
    apart from servers for answers, in the best proportion. The range says how many it would be
    if the engine's steps were faster or slower by the error of their model. `loadline simulate
    --help` says what is simulated and how TRACE is written.

    Exit codes: 0 a fleet keeps the objectives, 1 none that is allowed does, 2 it could not run.
    """
    from loadline_cli import simulations
    from loadline_cli.report_files import Shown
    from loadline_cli.simulations import ObjectiveOptions, StepOptions
    from loadline_cli.traces import TraceOptions

    code = simulations.size(
        TraceOptions(source=trace, columns=columns, skip_bad=skip_bad, hours=hours, rate=rate, seed=seed),
        ObjectiveOptions(ttft_ms=ttft_ms, tpot_ms=tpot_ms, e2e_s=e2e_s, share=share),
        Shown(out=out, open_report=open_report, output=output),
        engines=engine,
        gpus=gpus,
        steps=StepOptions(
            most_sequences=max_num_seqs,
            most_tokens=max_num_batched_tokens,
            keeps_prefixes=prefix_cache,
            routing=router.value,
            by_priority=scheduling_policy is Policy.PRIORITY,
        ),
    )
    raise typer.Exit(code)
