"""The command brings a bed with a node up, tells of it, and takes it down."""

import json
import os
import subprocess
import sys
from pathlib import Path

from testbed.cluster import binaries, janitors

ROOT = Path(__file__).parents[2]
NAME = f"node-{os.getpid()}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed.cluster", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def offered(kubeconfig: str) -> str:
    """How many GPUs the node offers, by whoever follows the line that `up` prints."""
    path = r"jsonpath={.items[*].status.allocatable.nvidia\.com/gpu}"
    command = [str(binaries.find("kubectl")), "--kubeconfig", kubeconfig, "get", "nodes", "-o", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_up_status_down() -> None:
    up = run("up", "--depth", "node", "--gpus", "2", "--name", NAME)
    try:
        assert up.returncode == 0, up.stderr
        (bed,) = [b for b in json.loads(run("status", "--json").stdout)["beds"] if b["name"] == NAME]
        assert bed["depth"] == "node"
        assert up.stdout == f"export KUBECONFIG={bed['kubeconfig']}\n"
        assert offered(bed["kubeconfig"]) == "2"
        assert f"{NAME} node, https://10.89." in " ".join(run("status").stdout.split())
    finally:
        down = run("down", "--name", NAME)
    assert down.stderr == f"bed `{NAME}` is down\n"
    assert not Path(bed["directory"]).exists()
    assert not janitors.groups_of(bed["directory"])
