"""
`loadline study`: its commands with their options and help texts, and nothing of what they do.
"""

from pathlib import Path
from typing import Annotated

import typer

from loadline_cli.fleet_options import (
    ENGINES,
    ColumnsOption,
    HoursOption,
    PrefillOption,
    SeedOption,
    SequencesOption,
    ServersOption,
    ShareOption,
    SkipOption,
    TokensOption,
)
from loadline_cli.options import OpenOption, OutOption, OutputOption, show_help_without_a_command
from loadline_cli.outputs import Output

study = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@study.callback()
def _study(context: typer.Context) -> None:
    """Answer a question about fleets by simulations, with a report.

    \b
    What each study answers, and how long it takes:
      loadline study list
    What Splitwise's designs carry for the same power and the same cost:
      loadline study splitwise --open
    How many servers a row's power budget bears for six weeks:
      loadline study power --days 42
    """
    show_help_without_a_command(context)


JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, max=64, help="Simulations side by side. Default: one a processor."
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume", help="Use the outcomes that an earlier run of this version left in --out."
    ),
]


@study.command("list", short_help="List the studies: what each answers, and how long it takes.")
def list_studies(output: OutputOption = Output.TABLE) -> None:
    """List the studies: what each answers, and how long it takes.

    \b
    As a table, and as JSON:
      loadline study list
      loadline study list -o json

    The times are those of the defaults on two processors. The first simulation on a machine
    compiles for half a minute more.

    Exit codes: 0 success, 2 the studies could not be listed.
    """
    from loadline_cli import study_lists

    study_lists.show(output)


@study.command(short_help="Find out what Splitwise's designs carry for the same power and cost.")
def splitwise(  # noqa: PLR0917
    trace: Annotated[
        list[str] | None,
        typer.Option(
            "--trace", metavar="NAME", help="azure-chat or azure-code; may be repeated. Default: both."
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="NAME",
            help="power or cost, of which all designs have the same; may be repeated. Default: both.",
        ),
    ] = None,
    rates: Annotated[
        str,
        typer.Option("--rates", metavar="LOW:HIGH", help="Requests a second between which to search."),
    ] = "1:500",
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", min=0.01, max=60, help="Length of each simulation.")
    ] = 2.0,
    jobs: JobsOption = None,
    resume: ResumeOption = True,
    seed: SeedOption = 1,
    out: OutOption = Path("build/study-splitwise"),
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find out what Splitwise's designs carry for the same power and cost, and write a report.

    \b
    Both tables of the paper, for both services; needs no GPU:
      loadline study splitwise --open
    One of them, on five minutes of requests:
      loadline study splitwise --budget power --trace azure-chat --minutes 5

    Splitwise computes prompts and answers on servers apart (AA, HH, HA, HHcap: prompt and
    token servers with A100, H100 or capped H100). For each fleet of its tables the highest
    rate is found at which its nine latency objectives hold, with batches and routing as in
    splitwise-sim, and beside it what the paper says. The range is that of the models' error.

    Each simulation is kept in --out: a run that was stopped goes on where it ended.

    Exit codes: 0 success, 2 the study could not run.
    """
    from loadline_cli import splitwise_studies
    from loadline_cli.report_files import Shown
    from loadline_cli.study_runs import RunOptions

    code = splitwise_studies.splitwise(
        RunOptions(jobs=jobs, resume=resume),
        Shown(out=out, open_report=open_report, output=output),
        traces=trace or [],
        budgets=budget or [],
        rates=rates,
        minutes=minutes,
        seed=seed,
    )
    raise typer.Exit(code)


@study.command(short_help="Find out how many more servers bursts of requests cost.")
def bursts(  # noqa: PLR0917
    trace: Annotated[
        list[str] | None,
        typer.Option(
            "--trace",
            metavar="TRACE",
            help="Requests of yours, as in `loadline simulate`; may be repeated.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help=f"{ENGINES}.")
    ] = "h200-llama-3.1-8b-fp8",
    servers: ServersOption = 4,
    prefill_servers: PrefillOption = 0,
    ttft_ms: Annotated[
        float,
        typer.Option("--ttft-ms", metavar="MS", min=0.001, help="Objective for the time to the first token."),
    ] = 500.0,
    tpot_ms: Annotated[
        float,
        typer.Option(
            "--tpot-ms", metavar="MS", min=0.001, help="Objective for the mean time per further token."
        ),
    ] = 25.0,
    share: ShareOption = 0.99,
    hours: HoursOption = 0.5,
    columns: ColumnsOption = None,
    skip_bad: SkipOption = False,
    max_num_seqs: SequencesOption = 256,
    max_num_batched_tokens: TokensOption = 2048,
    jobs: JobsOption = None,
    resume: ResumeOption = True,
    seed: SeedOption = 1,
    out: OutOption = Path("build/study-bursts"),
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find out how many more servers bursts of requests cost, and write a report.

    \b
    Sessions of agents and ServeGen's clients, and Azure's code beside them:
      loadline study bursts --trace azure-code --open
    Your own requests on the fleet that you have:
      loadline study bursts --trace requests.csv --servers 8 --ttft-ms 1000

    Each kind of requests is played to the fleet faster and faster until too many miss their
    objectives, and so are the same requests if each came independently (a Poisson process).
    The ratio of the two rates is that of the servers. A request may take as long as the
    objectives say, or twice as long as it takes alone, whichever is more.

    Each simulation is kept in --out: a run that was stopped goes on where it ended.

    Exit codes: 0 success, 2 the study could not run.
    """
    from loadline_cli import burst_studies
    from loadline_cli.report_files import Shown
    from loadline_cli.study_runs import RunOptions
    from loadline_cli.traces import TraceOptions
    from loadline_sim.studies.burst_searches import Fleet

    code = burst_studies.bursts(
        RunOptions(jobs=jobs, resume=resume),
        Shown(out=out, open_report=open_report, output=output),
        TraceOptions(source="", columns=columns, skip_bad=skip_bad, hours=hours, rate=1.0, seed=seed),
        sources=trace or [],
        fleet=Fleet(
            engine=engine,
            servers=servers,
            prefill_servers=prefill_servers,
            most_sequences=max_num_seqs,
            most_tokens=max_num_batched_tokens,
        ),
        ttft_ms=ttft_ms,
        tpot_ms=tpot_ms,
        share=share,
    )
    raise typer.Exit(code)


@study.command(short_help="Find out what an expert cache would save, on recorded routing.")
def experts(  # noqa: PLR0917
    trace: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TRACE]",
            help="Recorded routing: a CSV file (.csv, .gz, .xz) or a folder in ESFT's format. Default: "
            "an excerpt of DeepSeek-V2-Lite's routing.",
        ),
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(
            "--memory-gib", metavar="GIB", help="Memory for routed experts. Default: a quarter of them fits."
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option("--slots", metavar="N", min=1, help="Instead of --memory-gib: how many experts fit."),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="bf16, fp8, int4, mxfp4 or qmoe.")
    ] = "bf16",
    expert_parameters: Annotated[
        int | None,
        typer.Option(
            "--expert-params",
            metavar="N",
            min=1,
            help="Weights of one routed expert: 3 × hidden size × expert width. Needed with a TRACE.",
        ),
    ] = None,
    experts_per_layer: Annotated[
        int | None,
        typer.Option(
            "--experts",
            metavar="N",
            min=2,
            max=4096,
            help="Routed experts in each layer. Default: the highest id in TRACE + 1.",
        ),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", metavar="N", min=2, help="Use only the first N tokens of TRACE.")
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, help="Requests that decode together.")
    ] = 4,
    link_gbs: Annotated[
        float, typer.Option("--link-gbs", metavar="GB/S", help="Bandwidth from the host's memory to the GPU.")
    ] = 25.0,
    layer_ms: Annotated[
        float,
        typer.Option(
            "--layer-ms", metavar="MS", help="Time in which a layer computes; prefetches run meanwhile."
        ),
    ] = 0.3,
    queued: Annotated[
        int,
        typer.Option(
            "--queued",
            metavar="N",
            min=0,
            help="Future steps known to `Belady, queued tokens known`.",
        ),
    ] = 4,
    waiting: Annotated[
        int,
        typer.Option(
            "--waiting", metavar="N", min=1, help="Waiting tokens from which Read-ME's Algorithm 1 chooses."
        ),
    ] = 64,
    grouped: Annotated[
        int,
        typer.Option(
            "--grouped", metavar="N", min=1, help="Tokens that Read-ME's Algorithm 1 puts into a batch."
        ),
    ] = 8,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Random seed: from which requests policies learn, and in which order tokens wait.",
        ),
    ] = 1,
    out: OutOption = Path("build/study-experts"),
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find out what an expert cache would save, on recorded routing, and write a report.

    \b
    The example, with 8 GiB for experts; takes about 20 s and no GPU:
      loadline study experts --memory-gib 8 --open
    Your own model's routing (here Mixtral's experts), as JSON:
      loadline study experts routing.csv --expert-params 176160768 -o json

    A mixture-of-experts model whose experts don't all fit into the GPU's memory loads them
    when they are needed. This command replays which experts the tokens of TRACE used,
    under several policies (LRU, LFU, PLEC, with and without prefetch, and Belady's as the
    bound) and precisions, and reports hits, bytes moved, and how long a token waits. It
    models a cache and a link; it runs no engine, and vLLM 0.32 has no such cache.

    \b
    TRACE has a row for each token and layer, with the ids of its experts and the router's
    weights; a request's tokens and a token's layers come in order:
      sequence,token,layer,experts,weights
      chat-1,1,1,8 26 56,0.41 0.33 0.26

    Exit codes: 0 success, 1 a check of the study failed, 2 the study could not run.
    """
    from loadline_cli import expert_studies

    code = expert_studies.experts(
        trace,
        expert_parameters=expert_parameters,
        experts_per_layer=experts_per_layer,
        tokens=tokens,
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
        out=out,
        open_report=open_report,
        output=output,
    )
    raise typer.Exit(code)


@study.command(short_help="Find out how many servers a row's power budget bears for weeks.")
def power(  # noqa: PLR0917
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="A power policy document to compare with polca and the one-threshold policies; repeatable.",
        ),
    ] = None,
    servers: Annotated[
        str,
        typer.Option("--servers", metavar="N,…", help="Numbers of servers to put behind the budget."),
    ] = "44,48,52",
    base_servers: Annotated[
        int,
        typer.Option("--base-servers", metavar="N", help="Servers that the budget is for: 6.08 kW each."),
    ] = 40,
    days: Annotated[int, typer.Option("--days", metavar="N", help="Days to simulate, from a Monday on.")] = 7,
    load: Annotated[
        float,
        typer.Option(
            "--load",
            metavar="FACTOR",
            help="Of the recorded rates of requests; by default the base servers peak at 78 %.",
        ),
    ] = 0.45,
    replay: Annotated[
        float,
        typer.Option(
            "--replay",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of the time to simulate again by 25 ms: where loads under caps are highest.",
        ),
    ] = 0.02,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Random seed: when which requests come.")
    ] = 1,
    jobs: JobsOption = None,
    emit: Annotated[
        Path | None,
        typer.Option(
            "--emit",
            metavar="FILE",
            help="Write the recommended policy into FILE, as a ConfigMap for kubectl.",
        ),
    ] = None,
    out: OutOption = Path("build/study-power"),
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find out how many servers a row's power budget bears for weeks, under which policy.

    \b
    A week of 44, 48 and 52 servers behind a budget for 40; takes about a minute and no GPU:
      loadline study power --open
    Your own thresholds for six weeks, and the best policy as a ConfigMap:
      loadline study power --days 42 --policy mine.yaml --emit power.yaml

    Each policy decides once a second on a simulated row of A100 servers with chat (high
    priority) and code (low) in recorded hours and days, with the code that the coordinator
    runs. The study says how often the row was above its budget, how long which caps were in
    force, and how much longer requests took than without caps. It recommends the policy that
    bears the most servers within the budget and POLCA's objectives for latencies.

    Exit codes: 0 a policy is recommended, 1 none is, 2 the study could not run.
    """
    from loadline_cli import power_studies
    from loadline_cli.report_files import Shown

    code = power_studies.power(
        policy or [],
        servers=servers,
        base_servers=base_servers,
        days=days,
        load=load,
        replay_share=replay,
        seed=seed,
        jobs=jobs,
        emit=emit,
        shown=Shown(out=out, open_report=open_report, output=output),
    )
    raise typer.Exit(code)
