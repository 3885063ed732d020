"""The bed's small parts: ports, records, certificates, tokens' requests, pods' statuses."""

import fcntl
import os
import socket
import ssl
from pathlib import Path
from typing import cast

import pytest

from testbed.cluster import records
from testbed.cluster.certificates import Authority
from testbed.cluster.errors import BedError
from testbed.cluster.nodes import node
from testbed.cluster.pods import running_status
from testbed.cluster.ports import Reservation
from testbed.cluster.records import Record
from testbed.cluster.tokens import Binding

RECORD = Record(name="one", owner=os.getpid(), server="https://x", kubeconfig="/x/kc", directory="/x")


def test_a_reserved_port_refuses_until_its_server_listens() -> None:
    reservation = Reservation()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", reservation.port), timeout=5)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", reservation.port))
        server.listen()
        socket.create_connection(("127.0.0.1", reservation.port), timeout=5).close()
    reservation.close()


def test_nobody_else_can_take_a_reserved_port() -> None:
    reservation = Reservation()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", reservation.port))
    reservation.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("cache")
def test_a_record_is_read_while_its_bed_is_up() -> None:
    with records.published(RECORD):
        assert records.read("one") == RECORD
        assert records.read_all() == [RECORD]
    assert records.read("one") is None
    assert not records.path_of("one").exists()


@pytest.mark.usefixtures("cache")
def test_a_name_is_taken_once() -> None:
    with records.published(RECORD), pytest.raises(BedError, match="name is 'one': a bed of that name is up"):
        records.published(RECORD).__enter__()


@pytest.mark.usefixtures("cache")
def test_the_record_of_a_dead_owner_is_not_believed() -> None:
    with records.published(RECORD):
        text = records.path_of("one").read_text()
    records.path_of("one").write_text(text)
    assert records.read("one") is None
    with records.path_of("one").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert records.read("one") == RECORD


@pytest.mark.parametrize("name", ["../x", "", "A", "-x"])
def test_a_name_that_can_not_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(BedError, match="use lower-case letters, digits and dashes"):
        records.path_of(name)


def test_certificates_pass_the_strictest_check(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown, bearer = authority.server("kube-apiserver"), authority.client("admin", groups=("system:masters",))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(shown.certificate, shown.key)
    client = ssl.create_default_context(cafile=str(authority.pair.certificate))
    client.load_cert_chain(bearer.certificate, bearer.key)
    server.load_verify_locations(authority.pair.certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shaken(server, client) == {"commonName": "admin", "organizationName": "system:masters"}
    assert bearer.key.stat().st_mode & 0o077 == 0


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, str]:
    """Shake hands in memory; gives the client's subject as the server sees it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="127.0.0.1"),
        server.wrap_bio(up, down, server_side=True),
    ]
    while ends[0].version() is None or not ends[1].getpeercert():
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    subject = cast(tuple[tuple[tuple[str, str]]], (ends[1].getpeercert() or {})["subject"])
    return dict(pairs[0] for pairs in subject)


def test_a_token_is_asked_for_with_node_and_audience() -> None:
    binding = Binding(
        service_account="agent", namespace="loadline", node="node-00", audience="loadline-worker"
    )
    assert binding.request()["spec"] == {
        "expirationSeconds": 3600,
        "audiences": ["loadline-worker"],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "node-00"},
    }


def test_a_plain_token_is_bound_to_nothing() -> None:
    assert Binding(service_account="operator", namespace="loadline").request()["spec"] == {
        "expirationSeconds": 3600
    }


def test_a_node_offers_its_gpus_and_own_labels() -> None:
    made = node("node-07", gpus=4, labels={"loadline.dev/row": "a"})
    assert made["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert made["metadata"]["labels"]["loadline.dev/row"] == "a"
    assert made["metadata"]["labels"]["kubernetes.io/hostname"] == "node-07"


def test_a_running_pod_has_its_containers_ready_and_its_init_containers_done() -> None:
    pod = {
        "spec": {
            "containers": [{"name": "engine", "image": "e"}],
            "initContainers": [
                {"name": "fetch", "image": "f"},
                {"name": "sidecar", "image": "s", "restartPolicy": "Always"},
            ],
        }
    }
    status = running_status(pod, address="10.244.0.1", now="2026-01-01T00:00:00Z")
    assert status["phase"] == "Running"
    assert status["podIP"] == "10.244.0.1"
    assert [c["state"].keys() for c in status["containerStatuses"]] == [{"running"}]
    assert [c["state"].keys() for c in status["initContainerStatuses"]] == [{"terminated"}, {"running"}]
    assert {c["type"] for c in status["conditions"]} >= {"Ready", "ContainersReady", "PodScheduled"}
