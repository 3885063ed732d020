"""
The command line: every command with its options and help text, and nothing of what it does.

Each command's module is imported when it runs, so that help and completion answer at
once. A help text starts with what the command does, then gives an example that runs, then
the exit codes.
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from loadline_api.names import SYSTEM_NAMESPACE
from loadline_cli import capacity_app, kv_app, study_app
from loadline_cli.exits import CommandError, Exit
from loadline_cli.options import (
    ContextOption,
    DryRunOption,
    KubeconfigOption,
    OpenOption,
    OutOption,
    OutputOption,
    show_help_without_a_command,
)
from loadline_cli.outputs import Output

app = typer.Typer(
    name="loadline",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
policies = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


def run(arguments: list[str], program: str) -> int:
    """Run one command and return its exit code; CommandError if the arguments can't be parsed."""
    try:
        code = app(arguments, prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", program)
        raise CommandError(_sentence(error.format_message()), hint=f"see `{path} --help`") from error
    except typer.Abort:
        return Exit.INTERRUPTED
    return int(code or Exit.OK)


def _sentence(message: str) -> str:
    return (message[:1].lower() + message[1:]).rstrip(".").replace("'", "`")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"loadline {metadata.version('loadline')}")
        raise typer.Exit


@app.callback()
def _loadline(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Run more LLM servers behind a breaker than it was sized for, without tripping it.

    \b
    Watch 52 simulated servers share a power budget sized for 40; takes about 30 s and no GPU:
      loadline demo --virtual

    \b
    Find the fewest servers for an hour of recorded chat; takes some seconds:
      loadline size azure-chat --engine a100-bloom-176b --ttft-ms 2000 --tpot-ms 100

    \b
    Check an edited policy document before you apply it:
      loadline policies check power.yaml

    \b
    Work out what an expert cache would save, before an engine has one:
      loadline study experts --memory-gib 8

    \b
    Check on your own hardware that a power domain steps down to the draw in its status:
      loadline drill row-a --dry-run

    Exit codes: 0 success, 1 a check failed, 2 the command could not run.
    """
    show_help_without_a_command(context)


@app.command(short_help="Watch 52 servers share a power budget sized for 40.")
def demo(  # noqa: PLR0917
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual", help="Simulate in virtual time: takes about 30 s, needs no cluster and no checkout."
        ),
    ] = False,
    out: OutOption = Path("build/demo"),
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Random seed of the simulated network delays and sampling times; the live demo ignores it.",
        ),
    ] = 1,
    open_report: OpenOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Watch 52 servers share a power budget sized for 40, and write a report.

    \b
    Simulated in virtual time, takes about 30 s, works from any installation:
      loadline demo --virtual
    Live, from a checkout: a real API server, an operator and 52 agents on fake GPUs:
      loadline demo --out build/demo --open

    Replays the Azure 2023 LLM inference traces on servers behind one breaker, in eight
    acts: observe, enforce, edit the policy, kill the coordinator, stop the API server,
    stop an agent, add a load that would trip the breaker, and release.

    Exit codes: 0 every promise was kept, 1 a promise was broken, 2 the demo could not run.
    Timings that miss their goals are reported and fail no run.
    """
    from loadline_cli import demo as demos

    raise typer.Exit(demos.demo(virtual=virtual, out=out, seed=seed, open_report=open_report, output=output))


@app.command(short_help="Hold a power domain at its safe limits for seconds, and check that it gets there.")
def drill(  # noqa: PLR0917
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A PowerDomain in mode Enforce.")],
    seconds: Annotated[
        int,
        typer.Option("--seconds", metavar="N", min=5, max=30, help="How long to hold the domain, at most."),
    ] = 10,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
    dry_run: DryRunOption = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write the result to FILE: Markdown if it ends in .md, else JSON.",
        ),
    ] = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Hold a power domain at its safe limits for seconds, and check that it gets there.

    \b
    Print what a drill would do; then run it and keep the result:
      loadline drill row-a --dry-run
      loadline drill row-a --report drill.md

    The domain's coordinator orders every GPU to its safe limit or below, reads the
    limits back, and ends the drill by itself. A drill never raises a limit. Requests on
    these nodes are slower meanwhile; Ctrl-C ends the drill. Read the breaker's own meter
    too: the drill compares the GPUs' sensors with the domain's status, and a sensor may
    be wrong.

    \b
    Needs permission to patch PowerDomains (ClusterRole loadline-admin).
    Exit codes: 0 every check passed, 1 a check failed or couldn't be made, 2 the drill could not run.
    """
    from loadline_cli import drills
    from loadline_cli.clusters import Cluster

    code = drills.drill(
        domain,
        cluster=lambda: Cluster.open(kubeconfig, context),
        seconds=seconds,
        yes=yes,
        dry_run=dry_run,
        report=report,
        output=output,
    )
    raise typer.Exit(code)


@app.command(short_help="Restore a node's original GPU limits at once, without waiting for headroom.")
def release(  # noqa: PLR0917
    node: Annotated[str, typer.Option("--node", metavar="NODE", help="The node to release.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
    dry_run: DryRunOption = False,
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", metavar="NAME", help="Namespace in which Loadline is installed."),
    ] = SYSTEM_NAMESPACE,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Restore a node's original GPU limits at once, without waiting for headroom.

    \b
    Print how much more the node may draw afterwards; then release it:
      loadline release --node node-1 --dry-run
      loadline release --node node-1

    First set the mode of its PowerDomain to Observe: the coordinator then releases nodes
    one by one, within the breaker's headroom. Use this command for a node that no
    coordinator releases: its NodeCapacity reports the reason Orphaned, or its release
    waits for headroom. A PowerDomain in mode Enforce that selects the node sets its
    limits again.

    \b
    Needs kubectl, and permission to exec into the agent's pod.
    Exit codes: 0 released, 1 the agent could not restore everything, 2 the command could not run.
    """
    from loadline_cli import releases

    kubectl = releases.Kubectl(namespace, kubeconfig, context)
    raise typer.Exit(releases.release(node, kubectl, yes=yes, dry_run=dry_run))


@policies.callback()
def _policies(context: typer.Context) -> None:
    """List the available policies, or check a policy document.

    \b
    Check an edited policy document before you apply it:
      loadline policies check power.yaml
    """
    show_help_without_a_command(context)


@policies.command("list", short_help="List the available policies and their settings.")
def list_policies(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="List only this policy, or the policies of this loop."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the available policies and their settings.

    Each policy belongs to one loop: power, experts, kv, kv-retention, phases or sizing.

    \b
    All policies, those of one loop, or one policy as JSON:
      loadline policies list
      loadline policies list kv
      loadline policies list polca -o json

    Exit codes: 0 success, 2 no policy or loop has that name.
    """
    from loadline_cli import policies as commands

    commands.list_policies(name, output)


@policies.command(short_help="Check a policy document before you apply it.")
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A policy document or a ConfigMap; - reads stdin.")
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check a policy document before you apply it.

    \b
    A file, or the ConfigMap that is in the cluster now:
      loadline policies check power.yaml
      kubectl get configmap power -o yaml | loadline policies check -

    Prints the policy with the settings that it would put in force and their hash. The
    status of every PowerDomain or InferenceService that uses the policy shows this hash.

    Exit codes: 0 the document is valid, 1 it is invalid, 2 it could not be read.
    """
    from loadline_cli import policies as commands

    commands.check(file, output)


app.add_typer(
    policies, name="policies", short_help="List the available policies, or check a policy document."
)


app.command(short_help="Simulate a trace on a fleet of servers: latencies of its requests.")(
    capacity_app.simulate
)
app.command(short_help="Find the fewest servers that keep a trace's latency objectives.")(capacity_app.size)
app.add_typer(
    study_app.study, name="study", short_help="Answer a question about fleets by simulations, with a report."
)
app.add_typer(kv_app.kv, name="kv", short_help="Prepare what bounds the KV memory of requests.")
