"""
The test bed as a command, for whoever wants to look around in one.

    python -m hack.testenv up --nodes 3     a control plane with three nodes of 8 GPUs
    python -m hack.testenv down

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
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hack.testenv import binaries, records
from hack.testenv.bed import Bed
from hack.testenv.errors import BedError

DOWN_LIMIT_S = 30.0

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="A real Kubernetes control plane for tests and demos."
)
stderr = Console(stderr=True, soft_wrap=True)

Name = Annotated[str, typer.Option(help="Which bed; several can be up at once.")]


@app.command()
def build() -> None:
    """Build the programs that are missing, and print where all of them are."""
    for path in asdict(binaries.ensure(stderr)).values():
        print(path)


@app.command()
def up(
    name: Name = "default",
    nodes: Annotated[int, typer.Option(min=0, help="So many Ready nodes: node-00, node-01 …")] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs on each node.")] = 8,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay; Ctrl-C takes it down.")] = False,
) -> None:
    """Bring a bed up, and print the line that points kubectl at it."""
    binaries.ensure(stderr)
    if foreground:
        _stay(name, nodes, gpus)
    elif (there := records.read(name)) is not None:
        stderr.print(f"bed `{name}` is up already")
        print(f"export KUBECONFIG={there.kubeconfig}")
    else:
        _detach(name, nodes, gpus)


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
        print(f"{bed.name:<9} {bed.server}, owner {bed.owner}, KUBECONFIG={bed.kubeconfig}")


def _stay(name: str, nodes: int, gpus: int) -> None:
    """Own a bed until a signal comes; the `with` block does the rest."""
    signal.signal(signal.SIGTERM, _end)
    with Bed() as bed:
        bed.add_nodes((f"node-{number:02d}" for number in range(nodes)), gpus=gpus)
        record = records.Record(
            name=name,
            owner=os.getpid(),
            server=bed.server,
            kubeconfig=str(bed.kubeconfig),
            directory=str(bed.directory),
        )
        with records.published(record):
            print(f"export KUBECONFIG={bed.kubeconfig}", flush=True)
            signal.pause()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _detach(name: str, nodes: int, gpus: int) -> None:
    """Start the owner in a session of its own, and pass on the line that it prints when it is up."""
    command = [sys.executable, "-m", "hack.testenv", "up", "--foreground", "--name", name]
    command += ["--nodes", str(nodes), "--gpus", str(gpus)]
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
    stderr.print(f"bed `{name}` is up; take it down with `python -m hack.testenv down --name {name}`")


def main() -> None:
    """Run the command; an error of the bed is a sentence, not a traceback."""
    try:
        app()
    except BedError as error:
        stderr.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
