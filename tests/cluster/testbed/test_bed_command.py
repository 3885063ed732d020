"""The command leaves nothing behind, however its owner ends, and knows which beds are up."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from testbed.cluster import janitors, records
from testbed.cluster.waits import eventually

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed.cluster", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def foreground(name: str) -> Iterator[tuple[subprocess.Popen[str], records.Record]]:
    command = [sys.executable, "-m", "testbed.cluster", "up", "--foreground", "--name", name, "--nodes", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            record = records.read(name)
            assert record is not None
            assert line == f"export KUBECONFIG={record.kubeconfig}\n"
            yield process, record
        finally:
            process.kill()


def gone(record: records.Record) -> bool:
    return (
        not janitors.processes_of(record.directory)
        and not Path(record.directory).exists()
        and not listening(record.server)
    )


def listening(server: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(server).port or 0)) == 0


@pytest.fixture
def name() -> str:
    return f"test-{os.getpid()}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_bed_stays_when_its_owner_is_struck_down(number: signal.Signals, name: str) -> None:
    with foreground(name) as (process, record):
        assert len(janitors.processes_of(record.directory)) == 4
        assert listening(record.server)
        process.send_signal(number)
        process.wait(20)
        assert eventually(lambda: gone(record))
    assert records.read(name) is None


def test_up_status_down(name: str) -> None:
    up = run("up", "--name", name, "--nodes", "2")
    try:
        assert up.returncode == 0, up.stderr
        (record,) = [bed for bed in json.loads(run("status", "--json").stdout)["beds"] if bed["name"] == name]
        assert up.stdout == f"export KUBECONFIG={record['kubeconfig']}\n"
        assert run("up", "--name", name).stdout == up.stdout
    finally:
        down = run("down", "--name", name)
    assert down.stderr == f"bed `{name}` is down\n"
    assert gone(records.Record(**record))
    assert run("down", "--name", name).stderr == f"bed `{name}` is not up\n"


def test_a_bad_name_is_refused_in_a_sentence() -> None:
    done = run("up", "--name", "../x")
    assert done.returncode == 1
    assert done.stderr == "error: name is '../x': use lower-case letters, digits and dashes\n"
