"""
The test bed as a command, for whoever wants to look around in one.

    python -m testbed.cluster up --nodes 3             a control plane with three nodes in name
    python -m testbed.cluster up --depth node --gpus 4 a node on which pods run, with fake GPUs
    python -m testbed.cluster status
    python -m testbed.cluster down

Data go to stdout, all else to stderr. A bed that stays up is owned by a process of
its own, which is this same command with `--foreground`.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from enum import StrEnum
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from testbed.cluster import binaries, commands, debian, records
from testbed.cluster.bed import Bed
from testbed.cluster.errors import BedError
from testbed.cluster.node_beds import NodeBed

DOWN_LIMIT_S = 30.0

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="A real Kubernetes control plane for tests and demos."
)
stderr = Console(stderr=True, soft_wrap=True)

Name = Annotated[str, typer.Option(help="Which bed; several can be up at once.")]


class Depth(StrEnum):
    """How real a bed is."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"


@app.command()
def build(
    programs: Annotated[
        list[str] | None, typer.Argument(help="Which, instead of the control plane's.", show_default=False)
    ] = None,
) -> None:
    """Build the programs that are missing, and print where all of them are."""
    for name in programs or ():
        if name not in binaries.SOURCES:
            raise BedError(f"program is {name!r}: use one of {', '.join(binaries.SOURCES)}")
    paths = binaries.need(*programs, console=stderr) if programs else asdict(binaries.ensure(stderr)).values()
    for path in paths:
        print(path)


@app.command()
def prepare() -> None:
    """Make this machine fit for a node on which pods run: packages of Debian (as root), and programs."""
    debian.install(stderr)
    binaries.need(*binaries.NAMES, *binaries.NODE_NAMES, console=stderr)


@app.command()
def up(  # noqa: PLR0917
    name: Name = "default",
    depth: Annotated[Depth, typer.Option(help="`node`: pods really run, on node-0; needs root.")] = (
        Depth.CONTROL_PLANE
    ),
    nodes: Annotated[int, typer.Option(min=0, help="So many Ready nodes in name: node-00, node-01 …")] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="Fake GPUs on each node.")] = 8,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay; Ctrl-C takes it down.")] = False,
) -> None:
    """Bring a bed up, and print the line that points kubectl at it."""
    binaries.ensure(stderr)
    if depth is Depth.NODE:
        debian.require()
        binaries.need(*binaries.NODE_NAMES, console=stderr)
    if foreground:
        _stay(name, depth, nodes=nodes, gpus=gpus)
    elif (there := records.read(name)) is not None:
        stderr.print(f"bed `{name}` is up already")
        print(f"export KUBECONFIG={there.kubeconfig}")
    else:
        _detach(name, depth, nodes=nodes, gpus=gpus)


@app.command()
def down(name: Name = "default") -> None:
    """Take a bed down; nothing of it stays."""
    record = records.read(name)
    if record is None:
        stderr.print(f"bed `{name}` is not up")
        return
    owner = os.pidfd_open(record.owner)
    signal.pidfd_send_signal(owner, signal.SIGTERM)
    if not select.select([owner], [], [], DOWN_LIMIT_S)[0]:
        raise BedError(f"bed `{name}` is still up after {DOWN_LIMIT_S:g} s; its owner is {record.owner}")
    stderr.print(f"bed `{name}` is down")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say which programs are there and which beds are up."""
    beds, missing = records.read_all(), binaries.missing()
    if as_json:
        print(json.dumps({"missing": missing, "beds": [asdict(bed) for bed in beds]}, indent=2))
        return
    programs = f"to be built: {', '.join(missing)}" if missing else "all built"
    print(f"programs  Kubernetes {binaries.kubernetes_version()}, {programs}")
    for bed in beds:
        told = f"{bed.server}, owner {bed.owner}, KUBECONFIG={bed.kubeconfig}"
        print(f"{bed.name:<9} {bed.depth}, {told}")
    print(f"nodes     {debian.obstacle() or 'this machine can carry one on which pods run'}")


def _stay(name: str, depth: Depth, *, nodes: int, gpus: int) -> None:
    """Own a bed until a signal comes; the `with` block does the rest."""
    signal.signal(signal.SIGTERM, _end)
    with NodeBed() if depth is Depth.NODE else Bed() as bed:
        if isinstance(bed, NodeBed) and gpus:
            bed.add_gpus(gpus)
        bed.add_nodes((f"node-{number:02d}" for number in range(nodes)), gpus=gpus)
        record = records.Record(
            name=name,
            owner=os.getpid(),
            server=bed.server,
            kubeconfig=str(bed.kubeconfig),
            directory=str(bed.directory),
            depth=depth.value,
        )
        with records.published(record):
            print(f"export KUBECONFIG={bed.kubeconfig}", flush=True)
            signal.pause()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _detach(name: str, depth: Depth, *, nodes: int, gpus: int) -> None:
    """Start the owner in a session of its own, and pass on the line that it prints when it is up."""
    command = [sys.executable, "-m", "testbed.cluster", "up", "--foreground", "--name", name]
    command += ["--depth", depth.value, "--nodes", str(nodes), "--gpus", str(gpus)]
    with tempfile.TemporaryFile("w+") as log:
        owner = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert owner.stdout is not None
        line = owner.stdout.readline()
        if not line:
            log.seek(0)
            raise BedError(f"bed `{name}` did not come up:\n{log.read()}")
    print(line, end="")
    stderr.print(f"bed `{name}` is up; take it down with `python -m testbed.cluster down --name {name}`")


def main() -> None:
    """Run the command; an error of the bed is a sentence, not a traceback."""
    commands.run(app, stderr)


if __name__ == "__main__":
    main()
