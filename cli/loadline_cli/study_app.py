"""
`loadline study`: its commands with their options and help texts, and nothing of what they do.
"""

from pathlib import Path
from typing import Annotated

import typer

from loadline_cli.options import OutputOption, show_help_without_a_command
from loadline_cli.outputs import Output

study = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@study.callback()
def _study(context: typer.Context) -> None:
    """Replay recordings to find out what a change would save, before you make it.

    \b
    Half of a model's experts in memory, instead of all:
      loadline study experts --memory-gib 13.4
    More servers behind a row's budget, for six weeks:
      loadline study power --days 42
    """
    show_help_without_a_command(context)


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
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for report.html and summary.json.")
    ] = Path("build/study-experts"),
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the report in a browser at the end.")
    ] = False,
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
    from loadline_cli import studies

    code = studies.experts(
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
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, max=256, help="Rows to simulate at the same time.")
    ] = 2,
    emit: Annotated[
        Path | None,
        typer.Option(
            "--emit",
            metavar="FILE",
            help="Write the recommended policy into FILE, as a ConfigMap for kubectl.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for report.html and summary.json.")
    ] = Path("build/study-power"),
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the report in a browser at the end.")
    ] = False,
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
        out=out,
        open_report=open_report,
        output=output,
    )
    raise typer.Exit(code)
