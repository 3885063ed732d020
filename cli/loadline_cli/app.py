"""
The commands by their names, and nothing of what they do.

Each command's module is imported when it runs, so that help and completion answer at
once. Texts here are what a person reads first: what you get, then an example that
runs, then the exit codes.
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from loadline_api.names import SYSTEM_NAMESPACE
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output

app = typer.Typer(
    name="loadline",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
policies = typer.Typer(invoke_without_command=True, rich_markup_mode=None)

OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", metavar="table|json", help="A table for people, JSON for programs."),
]

ContextOption = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="A context of the kubeconfig.")
]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Instead of kubectl's.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and leave without an order.")
]


def run(arguments: list[str], program: str) -> int:
    """The exit code of one command. Raises CommandError for arguments that make no sense."""
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


def _help_unless_told(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.callback()
def _loadline(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and leave."),
    ] = False,
) -> None:
    """Load an LLM cluster up to its power limit, and keep it from going under.

    \b
    See a row provisioned for 40 servers carry 52, in half a minute and without a GPU:
      loadline demo --virtual

    \b
    Know whether an edited policy will be taken, before you apply it:
      loadline policies check power.yaml

    
    Know whether a row really falls where its status says, on your own hardware:
      loadline drill row-a --dry-run

    Exit codes: 0 it is so, 1 it isn't, 2 it could not be run.
    """
    _help_unless_told(context)


@app.command(short_help="Watch a row provisioned for 40 servers carry 52.")
def demo(  # noqa: PLR0917
    virtual: Annotated[
        bool, typer.Option("--virtual", help="In virtual time: half a minute, no cluster, no checkout.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where report.html and summary.json go.")
    ] = Path("build/demo"),
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, help="Of sensors, copies and stress; the same seed, the same row."
        ),
    ] = 1,
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the report in a browser at the end.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Watch a row provisioned for 40 servers carry 52, and get a report of it.

    \b
    Half a minute in virtual time, from any installation:
      loadline demo --virtual
    Live, from a checkout: a real API server, an operator and 52 agents on fake GPUs:
      loadline demo --out build/demo --open

    Replays the Azure 2023 traces on 52 servers under the budget of 40, through seven
    acts: observing, enforcing, edited policies, a killed coordinator, a stopped API
    server, a stopped agent, and a load that would trip the breaker.

    Exit codes: 0 every check is met, 1 one was missed, 2 it could not be run.
    """
    from loadline_cli import demo as demos

    raise typer.Exit(demos.demo(virtual=virtual, out=out, seed=seed, open_report=open_report, output=output))


@app.command(short_help="Hold a row at its safe limits for some seconds, and see whether it falls there.")
def drill(  # noqa: PLR0917
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A PowerDomain that is enforced.")],
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=5, max=30, help="How long it is held, at most.")
    ] = 10,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it is held.")] = False,
    dry_run: DryRunOption = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Keep what was seen: Markdown for .md, else JSON."),
    ] = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Hold a row at its safe limits for some seconds, and see whether it falls there.

    
    See what would happen, then do it and keep the result:
      loadline drill row-a --dry-run
      loadline drill row-a --report drill.md

    The domain's coordinator orders every GPU to its safe limit or below, reads back
    what is in force, and lets go by itself. Nothing is ever raised by it. It costs
    latency on these nodes meanwhile; Ctrl-C ends it. Read the breaker's own meter too:
    this compares sensors with promises, and a sensor may be wrong.

    
    Needs the right to patch PowerDomains (ClusterRole loadline-admin).
    Exit codes: 0 all that is promised was seen, 1 something wasn't, 2 it could not be run.
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


@app.command(short_help="Give a node its own limits back at once, without asking for headroom.")
def release(  # noqa: PLR0917
    node: Annotated[str, typer.Option("--node", metavar="NODE", help="The node to release.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it is released.")] = False,
    dry_run: DryRunOption = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Where Loadline is installed.")
    ] = SYSTEM_NAMESPACE,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Give a node its own limits back at once, without asking for headroom.

    \b
    See how much more it may draw then, and do it:
      loadline release --node berth-1 --dry-run
      loadline release --node berth-1

    Set its PowerDomain's mode to Observe first, which releases nodes as far as the
    breaker bears it; this is for a node that is left: Orphaned, or its release waits.
    A domain in mode Enforce that selects the node arms it again.

    Needs kubectl, and the right to exec into the agent's pod.
    Exit codes: 0 released, 1 something was left as it is, 2 it could not be run.
    """
    from loadline_cli import releases

    kubectl = releases.Kubectl(namespace, kubeconfig, context)
    raise typer.Exit(releases.release(node, kubectl, yes=yes, dry_run=dry_run))


@policies.callback()
def _policies(context: typer.Context) -> None:
    """List the policies of every loop, or check a document of your own.

    \b
    Know whether an edited policy will be taken, before you apply it:
      loadline policies check power.yaml
    """
    _help_unless_told(context)


@policies.command("list", short_help="See which policies there are.")
def list_policies(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A policy or a loop instead of all.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """See which policies there are, and what each may be told.

    \b
    All of them, one loop's, or one as JSON:
      loadline policies list
      loadline policies list kv
      loadline policies list polca -o json

    Exit codes: 0 here they are, 2 there is none of that name.
    """
    from loadline_cli import policies as commands

    commands.list_policies(name, output)


@policies.command(short_help="Know whether a document will be taken.")
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A document or a ConfigMap; - is stdin.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Know whether a policy document will be taken, before you apply it.

    \b
    A file, or what is in the cluster now:
      loadline policies check power.yaml
      kubectl get configmap power -o yaml | loadline policies check -

    Prints the policy with the settings that would be in force and their hash, which
    is the one in the status of every PowerDomain or InferenceService that follows it.

    Exit codes: 0 it is valid, 1 it isn't, 2 it could not be read.
    """
    from loadline_cli import policies as commands

    commands.check(file, output)


app.add_typer(policies, name="policies", short_help="List the policies of every loop, or check a document.")
