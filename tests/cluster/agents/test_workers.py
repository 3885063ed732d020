"""Whose report an agent takes, on a real API server and under the chart's RBAC, with tokens bound to pods."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadline_agent.kube import credentials
from loadline_agent.kube.clients import Kube
from loadline_agent.metrics import Metrics
from loadline_agent.workers import kept_policies
from loadline_agent.workers.loop_settings import no_op
from loadline_agent.workers.service_policies import ServicePolicies
from loadline_agent.workers.token_reviews import PATH, TokenReviews
from loadline_agent.workers.worker_servers import WorkerServer
from loadline_agent.workloads.node_workloads import NodeWorkloads
from loadline_api import names
from loadline_api.names import SYSTEM_NAMESPACE
from loadline_api.worker_messages import (
    WORKER_AUDIENCE,
    WORKER_PATH,
    WorkerPod,
    WorkerReport,
    decode_worker_settings,
    encode,
)
from loadline_policies.documents import SCHEMA, built_in
from loadline_policies.loops import OF_WORKERS, Loop
from testbed import api_callers, charts
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.processes import Household
from testbed.doubles.rows import free_ports

NODES = ("quay-0", "quay-1")
SECTIONS = {loop.value: no_op(built_in(loop)) for loop in OF_WORKERS}
API_AUDIENCE = "https://kubernetes.default.svc"


@pytest.fixture(scope="module")
def quay(bed: Bed) -> Bed:
    """The chart and two nodes."""
    bed.apply(charts.control_plane_objects())
    bed.add_nodes(NODES)
    return bed


@pytest.fixture
async def start(
    quay: Bed, tmp_path: Path
) -> AsyncIterator[Callable[[], "asyncio.Future[tuple[WorkerServer, int]]"]]:
    """Starts an agent's port for workers on the first node, under the agent's own account."""
    async with AsyncExitStack() as stack:

        async def started() -> tuple[WorkerServer, int]:
            bound = quay.identity(names.AGENT_ACCOUNT, SYSTEM_NAMESPACE, node=NODES[0])
            kube = Kube(credentials.find(bound.kubeconfig))
            stack.push_async_callback(kube.close)
            metrics = Metrics()
            here = NodeWorkloads(
                kube, NODES[0], socket=tmp_path / "none.sock", clock=time.monotonic, metrics=metrics
            )
            following = asyncio.create_task(here.run())
            stack.callback(following.cancel)
            server = WorkerServer(
                TokenReviews(kube, clock=time.monotonic, wall=time.time),
                node=NODES[0],
                service_of=here.worker,
                settings_for=lambda report: SECTIONS,
                metrics=metrics,
                clock=time.monotonic,
            )
            stack.push_async_callback(server.close)
            return server, await server.open("127.0.0.1", port=0)

        yield lambda: asyncio.ensure_future(started())


def engine(bed: Bed, namespace: str, name: str, *, node: str = NODES[0]) -> Object:
    """An engine's pod of the service `chat`, on a node; nothing runs in it."""
    labels = {names.SERVICE_LABEL: "chat", names.POOL_LABEL: names.MAIN_POOL}
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "vllm", "image": "none"}]},
    }
    return bed.client.create(f"/api/v1/namespaces/{namespace}/pods", body)


def service(namespace: str) -> dict[str, Any]:
    """The service `chat`, which asks for all loops of workers and names a policy for one."""
    memory = {"policyRef": {"name": "mine"}, "retention": {}}
    spec = {"model": {"uri": "hf://org/llm"}, "experts": {}, "kvCache": memory}
    metadata = {"name": "chat", "namespace": namespace}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": spec,
    }


def document(text: str) -> dict[str, Any]:
    """The policy that the service names, in the system namespace."""
    metadata = {"name": "mine", "namespace": SYSTEM_NAMESPACE, "labels": {names.POLICY_LABEL: "kv"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {names.POLICY_KEY: text}}


def token_of(bed: Bed, pod: Object, *, audience: str = WORKER_AUDIENCE) -> str:
    """The token that a kubelet would project into the pod."""
    metadata = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    spec = {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/default/token"
    return str(bed.client.create(path, body)["status"]["token"])


async def post(port: int, pod: Object, token: str, **changes: Any) -> tuple[int, bytes]:
    """What the report of a pod's worker gets with a token."""
    metadata = pod["metadata"]
    said = WorkerPod(uid=metadata["uid"], name=metadata["name"], namespace=metadata["namespace"])
    told = WorkerReport(pod=said, service="chat", pool="main", ranks=1).model_copy(update=changes)
    url, headers = f"http://127.0.0.1:{port}{WORKER_PATH}", {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=encode(told), headers=headers) as response,
    ):
        return response.status, await response.read()


async def answered(port: int, pod: Object, token: str, **changes: Any) -> int:
    """The generation that the pod's worker is given, once the agent is there and knows the pod."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                status, body = await post(port, pod, token, **changes)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.5)
                continue
            if status == 200:
                told = decode_worker_settings(body)
                assert told.sections == SECTIONS
                return told.generation
            assert status in (404, 429, 503), body
            await asyncio.sleep(1.0)


async def test_a_pod_is_answered_as_itself_and_as_no_other(
    quay: Bed, namespace: str, start: Callable[[], Any]
) -> None:
    own, other = (engine(quay, namespace, name) for name in ("chat-0", "chat-1"))
    elsewhere = engine(quay, namespace, "chat-2", node=NODES[1])
    server, port = await start()
    assert await answered(port, own, token_of(quay, own)) == 1
    for pod, token, status, sentence in (
        (own, token_of(quay, other), 403, b"report for it alone"),
        (elsewhere, token_of(quay, elsewhere), 403, b"runs on node quay-1, not on quay-0"),
        (own, token_of(quay, own, audience=API_AUDIENCE), 401, b"audience `loadline-worker`"),
        (own, token_of(quay, own)[:-8] + "AAAAAAAA", 401, b"audience `loadline-worker`"),
    ):
        got, text = await post(port, pod, token)
        assert (got, sentence in text) == (status, True), text
    assert [one["pod"] for one in server.shown()] == [
        {"uid": own["metadata"]["uid"], "name": "chat-0", "namespace": namespace}
    ]


async def test_an_agents_process_that_was_restarted_gives_the_worker_the_next_number(
    quay: Bed, namespace: str, tmp_path: Path
) -> None:
    quay.apply([service(namespace)])
    pod = engine(quay, namespace, "chat-0")
    token = token_of(quay, pod)
    peers, status, workers = free_ports(3)
    bound = quay.identity(names.AGENT_ACCOUNT, SYSTEM_NAMESPACE, node=NODES[0])
    options = {"port": peers, "metrics-port": status, "workers-port": workers, "listen": "127.0.0.1"}
    options |= {"node": NODES[0], "state-dir": tmp_path, "kubeconfig": bound.kubeconfig}
    command = [sys.executable, "-m", "loadline_agent.main", "run"]
    command += [f"--{name}={value}" for name, value in options.items()]
    given: list[int] = []
    with Household() as household:
        for life in ("first", "second"):
            process = household.start(f"{life}-agent", command)
            last = given[-1] if given else 0
            given.append(await answered(workers, pod, token, highest=last, generation=last))
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{status}/v1/workers") as response,
            ):
                (shown,) = (await response.json())["workers"]
            assert (shown["service"], shown["generation"]) == (f"{namespace}/chat", given[-1])
            assert list(shown["policies"]) == [loop.value for loop in OF_WORKERS]
            process.send(signal.SIGTERM)
            assert process.wait(20) == 0
    assert given == [1, 2]


async def test_the_token_of_a_pod_that_is_gone_is_refused(
    quay: Bed, namespace: str, start: Callable[[], Any]
) -> None:
    pod = engine(quay, namespace, "chat-0")
    token = token_of(quay, pod)
    quay.client.delete(f"/api/v1/namespaces/{namespace}/pods/chat-0", gracePeriodSeconds="0")
    spec = {"token": token, "audiences": [WORKER_AUDIENCE]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}

    def gone() -> None:
        assert not quay.client.create(PATH, review)["status"].get("authenticated")

    api_callers.eventually(gone)
    _, port = await start()
    assert (await post(port, pod, token))[0] == 401


async def test_a_policy_is_followed_and_the_last_good_one_outlives_a_broken_edit_and_the_agent(
    quay: Bed, namespace: str, tmp_path: Path
) -> None:
    good = f"schema: {SCHEMA}\nloop: kv\npolicy: {built_in(Loop.KV).policy.name}\n# edit %d\n"
    quay.apply([service(namespace), document(good % 1)])
    engine(quay, namespace, "chat-0")
    bound = quay.identity(names.AGENT_ACCOUNT, SYSTEM_NAMESPACE, node=NODES[0])
    kube = Kube(credentials.find(bound.kubeconfig))
    here = NodeWorkloads(
        kube, NODES[0], socket=tmp_path / "none.sock", clock=time.monotonic, metrics=Metrics()
    )
    chat = f"{namespace}/chat"

    def started() -> ServicePolicies:
        return ServicePolicies(kube, SYSTEM_NAMESPACE, named=here.worker_loops, state_dir=tmp_path)

    def text(policies: ServicePolicies) -> str:
        """The text in force for the loop that the service names a policy for, once it is known."""
        if policies.of(chat) is None:
            return ""
        return kept_policies.recall(tmp_path)[chat][Loop.KV].text

    policies = started()
    tasks = [asyncio.create_task(one.run()) for one in (here, policies)]
    await until(lambda: text(policies) == good % 1)
    quay.apply([document(good % 2)])
    await until(lambda: text(policies) == good % 2, within_s=5.0)
    quay.apply([document("policy: none\n")])
    await until(lambda: any(f"{SYSTEM_NAMESPACE}/mine: " in one for one in policies.problems))
    assert text(policies) == good % 2

    successor = started()
    assert text(successor) == good % 2, "from the file, before the API server has answered"
    tasks.append(asyncio.create_task(successor.run()))
    await until(lambda: any(f"{SYSTEM_NAMESPACE}/mine: " in one for one in successor.problems))
    assert text(successor) == good % 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await kube.close()


async def until(holds: Callable[[], bool], *, within_s: float = 20.0) -> None:
    for _ in range(int(within_s / 0.05)):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not so after {within_s:g} s")
