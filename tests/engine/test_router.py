"""What is known of vllm-router, and relied on: which pods it takes, when it drops them, what it forgives.

Stand-ins answer for the pods; the pods themselves are only in the API.
"""

import itertools
import signal
import threading
from collections.abc import Iterator

import httpx
import pytest

from testbed.cluster.bed import Bed
from testbed.cluster.pods import CONDITIONS
from testbed.cluster.processes import Household, Process
from testbed.engines import standins
from testbed.engines.processes import free_ports
from testbed.engines.standins import Standin
from testbed.engines.venvs import Venv

TRANSFER = '--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_%s"}'
SPLIT = ("--vllm-pd-disaggregation", "--prefill-selector", "role=prefill", "--decode-selector", "role=decode")
WHOLE = ("--selector", "role=mixed")
PATIENCE_S = 10.0

_hosts = itertools.count(2)


class Row:
    """A namespace's engines with their pods, and the router before them."""

    def __init__(self, bed: Bed, namespace: str, *, venv: Venv, household: Household) -> None:
        self._bed, self._venv, self._household = bed, venv, household
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace
        self.port, self.side, self.router_port, self._metrics_port = free_ports(4)

    def route(self, *flags: str) -> Process:
        """Start the router, and return once it lives."""
        command = [str(self._venv.router), "--host=127.0.0.1", f"--port={self.router_port}", *flags]
        command += [f"--prometheus-port={self._metrics_port}", "--policy=round_robin", "--service-discovery"]
        command += [f"--service-discovery-namespace={self._namespace}"]
        command += [f"--service-discovery-port={self.port}"]
        environment = {"KUBECONFIG": str(self._bed.kubeconfig), "PATH": "/usr/bin:/bin"}
        router = self._household.start("router", command, environment=environment)
        router.until(lambda: self.code("/liveness") == 200, timeout_s=PATIENCE_S)
        return router

    def engine(self, role: str, *arguments: str, itl_ms: float = 0.0) -> tuple[str, Standin]:
        """Start an engine with a pod that is ready; gives the pod's name."""
        host = f"127.0.0.{next(_hosts)}"
        standin = standins.start(
            self._household, *arguments, host=host, port=self.port, side=self.side, told={"itl_ms": itl_ms}
        )
        standin.wait()
        name = f"{role}-{host.rpartition('.')[2]}"
        spec = {"nodeName": "elsewhere", "containers": [{"name": "vllm", "image": "none"}]}
        metadata = {"name": name, "labels": {"role": role}}
        self._bed.client.create(
            self._pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
        self.say_ready(name, host=host)
        return name, standin

    def say_ready(self, pod: str, *, ready: bool = True, host: str | None = None) -> None:
        """Write what a kubelet would."""
        conditions = [{"type": name, "status": str(ready)} for name in CONDITIONS]
        address = {"podIP": host, "podIPs": [{"ip": host}]} if host else {}
        status = {"phase": "Running", "conditions": conditions, **address}
        self._bed.client.patch(f"{self._pods}/{pod}/status", {"status": status})

    def delete(self, pod: str) -> None:
        """Delete a pod, which stays while nobody ends its containers."""
        self._bed.client.delete(f"{self._pods}/{pod}")
        assert "deletionTimestamp" in self._bed.client.get(f"{self._pods}/{pod}")["metadata"]

    def code(self, path: str) -> int:
        """The status that the router answers with; 0 when it doesn't."""
        try:
            return self._get(path).status_code
        except httpx.TransportError:
            return 0

    def known(self) -> int:
        """How many engines the router knows."""
        return len(self._get("/list_workers").json()["urls"])

    def ask(self, tokens: int = 3) -> int:
        """The status of a completion."""
        url, body = (
            f"http://127.0.0.1:{self.router_port}/v1/completions",
            {"model": "tiny", "prompt": "hello"},
        )
        told = {"max_tokens": tokens, "ignore_eos": True}
        return httpx.post(url, json={**body, **told}, timeout=30.0, trust_env=False).status_code

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.router_port}{path}", timeout=5.0, trust_env=False)


@pytest.fixture
def row(bed: Bed, namespace: str, engine_venv: Venv) -> Iterator[Row]:
    with Household() as household:
        yield Row(bed, namespace, venv=engine_venv, household=household)


def test_it_is_ready_while_it_knows_an_engine_of_each_phase(row: Row) -> None:
    router = row.route(*SPLIT)
    assert (row.code("/readiness"), row.code("/health"), row.ask()) == (503, 200, 503)
    row.engine("prefill", TRANSFER % "producer")
    router.until(lambda: row.known() == 1, timeout_s=PATIENCE_S)
    assert (row.code("/readiness"), row.ask()) == (503, 503)
    decode, standin = row.engine("decode", TRANSFER % "consumer")
    router.until(lambda: row.code("/readiness") == 200, timeout_s=PATIENCE_S)
    assert row.ask() == 200
    assert standin.metric("vllm:prompt_tokens_by_source_total", source="external_kv_transfer") > 0
    row.say_ready(decode, ready=False)
    router.until(lambda: row.code("/readiness") == 503, timeout_s=PATIENCE_S)


def test_a_pod_that_is_going_gets_nothing_new_and_ends_what_it_has(row: Row) -> None:
    router = row.route(*WHOLE)
    going, standin = row.engine("mixed", itl_ms=50)
    router.until(lambda: row.known() == 1, timeout_s=PATIENCE_S)
    codes: list[int] = []
    asker = threading.Thread(target=lambda: codes.append(row.ask(tokens=40)))
    asker.start()
    router.until(lambda: standin.metric("vllm:num_requests_running") == 1, timeout_s=PATIENCE_S)
    row.delete(going)
    router.until(lambda: row.known() == 0, timeout_s=PATIENCE_S)
    assert row.ask() == 503
    asker.join()
    assert codes == [200]


def test_a_dead_engine_costs_no_request_while_there_is_another(row: Row) -> None:
    router = row.route(*WHOLE)
    _, dead = row.engine("mixed")
    row.engine("mixed")
    router.until(lambda: row.known() == 2, timeout_s=PATIENCE_S)
    dead.process.kill()
    assert {row.ask() for _ in range(12)} == {200}


def test_a_dead_prefill_costs_its_share_until_its_pod_is_not_ready(row: Row) -> None:
    router = row.route(*SPLIT)
    row.engine("decode", TRANSFER % "consumer")
    row.engine("prefill", TRANSFER % "producer")
    pod, dead = row.engine("prefill", TRANSFER % "producer")
    router.until(lambda: row.known() == 3, timeout_s=PATIENCE_S)
    dead.process.kill()
    assert sorted(row.ask() for _ in range(12)) == [200] * 6 + [500] * 6
    row.say_ready(pod, ready=False)
    router.until(lambda: row.known() == 2, timeout_s=PATIENCE_S)
    assert {row.ask() for _ in range(6)} == {200}


def test_when_it_ends_it_takes_nothing_new_and_ends_what_it_has(row: Row) -> None:
    router = row.route(*WHOLE)
    _, standin = row.engine("mixed", itl_ms=50)
    router.until(lambda: row.known() == 1, timeout_s=PATIENCE_S)
    codes: list[int] = []
    asker = threading.Thread(target=lambda: codes.append(row.ask(tokens=40)))
    asker.start()
    router.until(lambda: standin.metric("vllm:num_requests_running") == 1, timeout_s=PATIENCE_S)
    router.send(signal.SIGTERM)
    router.until(lambda: row.code("/liveness") == 0, timeout_s=PATIENCE_S)
    assert router.wait(20) == 0
    asker.join()
    assert codes == [200]
