"""However the owner of a bed with a node ends, nothing of it stays; this machine is left as it was."""

import glob
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.cluster import janitors, namespaces
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.waits import eventually
from testbed.cluster.workloads import Namespace, fetched

ROOT = Path(__file__).parents[2]
SLEEP_S = str(1_000_000 + os.getpid())
"""By this the pod's process is told from all others of this machine."""

OWNER = """
import sys, time
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.workloads import Namespace
with NodeBed() as bed:
    space = Namespace(bed, "default")
    mount = {"name": "shelf", "mountPath": "/shelf"}
    volume = {"name": "shelf", "hostPath": {"path": sys.argv[1]}}
    memory = {"name": "memory", "emptyDir": {"medium": "Memory"}}
    shelf = {"volumeMounts": [mount]}
    space.run("sleeper", f"sleep {sys.argv[2]}", container=shelf, volumes=[volume, memory])
    print(bed.directory, bed.node.machine.network.name, bed.node.machine.pid, flush=True)
    time.sleep(1000)
"""

WHILE_UP = {"directory", "processes", "sleeping pod", "control groups", "network card", "routes"}
"""All but mounts: those are never seen from outside."""


@contextmanager
def owner(shelf: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process with a bed in which a pod runs, and what it says of it."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(shelf), SLEEP_S], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline().split()
            assert len(told) == 3, "the bed did not come up"
            yield process, told
        finally:
            process.kill()


def left_of(directory: str, card: str) -> list[str]:
    """What is still there of a bed, in words."""
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    found = {
        "directory": os.path.exists(directory),
        "processes": bool(janitors.processes_of(directory)),
        "sleeping pod": bool(sleepers()),
        "control groups": bool(janitors.groups_of(directory)),
        "mounts": directory in Path("/proc/self/mountinfo").read_text(),
        "network card": os.path.exists(f"/sys/class/net/{card}"),
        "routes": card in routes,
    }
    return [name for name, there in found.items() if there]


def sleepers() -> list[int]:
    """Processes of the pod, wherever they are."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if Path(path).read_bytes() == f"sleep\0{SLEEP_S}\0".encode():
                found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_a_node_stays_when_its_owner_is_struck_down(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "book").write_text("of the machine")
    with owner(tmp_path) as (process, (directory, card, _)):
        assert eventually(lambda: set(left_of(directory, card)) == WHILE_UP)
        process.send_signal(number)
        process.wait(30)
        assert eventually(lambda: not left_of(directory, card)), left_of(directory, card)
    assert (tmp_path / "book").read_text() == "of the machine"


def test_a_node_whose_first_process_dies_takes_its_pods_along(tmp_path: Path) -> None:
    with owner(tmp_path) as (_, (directory, card, pid)):
        os.kill(int(pid), signal.SIGKILL)
        assert eventually(lambda: not sleepers() and not Path("/sys/class/net", card).exists())
        assert Path(directory).exists()
    assert eventually(lambda: not left_of(directory, card)), left_of(directory, card)


def test_this_machine_is_not_changed_while_a_node_is_up(node_bed: NodeBed) -> None:
    here, there = Path("/proc/self/mountinfo").read_text(), f"/proc/{node_bed.node.machine.pid}/mountinfo"
    assert str(node_bed.directory) not in here
    assert str(node_bed.directory) in Path(there).read_text()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "kube-proxy" not in tables
    assert eventually(lambda: "kube-proxy" in node_bed.node.run("nft", "list", "tables"))
    assert not Path("/sys/class/net/cni0").exists()
    for setting, value in namespaces.SETTINGS.items():
        assert node_bed.node.run("cat", f"/proc/sys/{setting}").strip() == str(value)


def test_what_a_kubelet_sets_is_not_set_for_this_machine(node_bed: NodeBed) -> None:
    """Whatever is written on the node, as a kubelet would, stays there."""
    before = Path("/proc/sys/kernel/panic").read_text()
    node_bed.node.run("sh", "-c", "echo 4243 >/proc/sys/kernel/panic")
    assert node_bed.node.run("cat", "/proc/sys/kernel/panic") == "4243\n"
    assert Path("/proc/sys/kernel/panic").read_text() == before


def dead_on(node_bed: NodeBed) -> list[str]:
    """The processes that nobody has reaped, each with its parent."""
    listed = node_bed.node.run("ps", "-e", "-o", "stat=,pid=,ppid=,comm=").splitlines()
    return [line for line in listed if line.startswith("Z")]


def test_no_dead_process_lingers_on_a_node(node_bed: NodeBed, space: Namespace) -> None:
    space.run("short", "sleep 1000")
    space.kubectl("delete", "pod", "short")
    assert eventually(lambda: not dead_on(node_bed)), dead_on(node_bed)


def test_two_nodes_side_by_side_know_nothing_of_each_other(node_bed: NodeBed, space: Namespace) -> None:
    space.serve("www")
    with NodeBed(name="other-0", labels={"row": "b"}, taints=["spare=yes:NoSchedule"]) as other:
        assert other.node.machine.network != node_bed.node.machine.network
        assert other.kubectl("get", "nodes", "-o", "name") == "node/other-0\n"
        assert other.kubectl("get", "nodes", "-l", "row=b", "-o", "name") == "node/other-0\n"
        taints = other.kubectl("get", "nodes", "-o", "jsonpath={.items[*].spec.taints}")
        assert taints == '[{"effect":"NoSchedule","key":"spare","value":"yes"}]'
        theirs = Namespace(other, "default")
        theirs.run("own", "sleep 1000", tolerations=[{"operator": "Exists"}])
        directory = other.directory
    assert not directory.exists()
    (pod,) = space.pods("www")
    assert eventually(lambda: fetched(f"http://{space.address('www')}/") == pod["metadata"]["name"])
