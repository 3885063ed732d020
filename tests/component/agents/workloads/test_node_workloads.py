"""Who works on a node: its pods and their services from a small API server, GPUs and engines as told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.metrics import Metrics
from loadline_agent.workloads import engine_scrapers, pod_resources
from loadline_agent.workloads.debounced_facts import HOLD_S
from loadline_agent.workloads.engine_metrics import Scrape
from loadline_agent.workloads.histograms import Histogram
from loadline_agent.workloads.node_workloads import NodeWorkloads
from loadline_agent.workloads.pod_resources import Unread
from loadline_agent.workloads.unowned_gpus import SETTLE_S
from loadline_api.names import UNKNOWN_OWNER
from loadline_api.node_capacities import NodeCapacityStatus, ServiceOnNode
from loadline_policies.power.protocol.messages import ServiceReport
from loadline_policies.power.protocol.node_states import GpuState

PODS = "/api/v1/pods"
GPU, OTHER, THIRD = (f"GPU-{index}0f90f49-43ab-0a78-bf5c-93ed41ef2da2" for index in range(3))
NODE = "node-0"
Object = dict[str, Any]


class Api:
    """Collections by path; a change is seen by whoever watches it."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Object]] = {}
        self.watched: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self._version = 1
        self._changes: list[tuple[str, Object]] = []
        self._watches: list[tuple[str, asyncio.Queue[Object]]] = []

    def put(self, path: str, thing: Object) -> None:
        things = self.things.setdefault(path, {})
        name = thing["metadata"]["name"]
        self._change(path, "MODIFIED" if name in things else "ADDED", thing)
        things[name] = thing

    def delete(self, path: str, name: str) -> None:
        self._change(path, "DELETED", self.things[path].pop(name))

    def _change(self, path: str, type: str, thing: Object) -> None:
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        self._changes.append((path, {"type": type, "object": thing}))
        for watched, queue in self._watches:
            if watched == path:
                queue.put_nowait({"type": type, "object": thing})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if "watch" in request.query:
            return await self._watch(request)
        items = list(self.things.get(request.path, {}).values())
        return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[Object] = asyncio.Queue()
        for path, change in self._changes[int(request.query["resourceVersion"]) - 1 :]:
            if path == request.path:
                queue.put_nowait(change)
        entry = request.path, queue
        self._watches.append(entry)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self._watches.remove(entry)

    @property
    def watches(self) -> list[str]:
        """What is watched now."""
        return sorted(path for path, _ in self._watches)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


class Here:
    """A node's tenants, its kubelet's word and its engines' answers."""

    def __init__(self, workloads: NodeWorkloads, metrics: Metrics) -> None:
        self.workloads, self.metrics = workloads, metrics
        self.now = 1000.0
        self.devices: dict[str, tuple[str, ...]] | None = {}
        self.latencies: dict[str, Histogram] = {}
        self.asked: set[str] = set()

    async def ask(self, socket: Path, gpu_resource: str) -> dict[str, tuple[str, ...]]:
        if self.devices is None:
            raise Unread("no kubelet")
        return self.devices

    def facts(self, *held_back: str) -> list[ServiceOnNode]:
        return list(self.workloads.facts(held_back) or ())

    async def until(self, so: Callable[[], bool]) -> None:
        for _ in range(500):
            if so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("not so after 5 s")


@pytest.fixture
async def here(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    kube, metrics = Kube(Credentials(server=api.url)), Metrics()
    made: Here
    workloads = NodeWorkloads(
        kube, NODE, socket=tmp_path / "kubelet.sock", clock=lambda: made.now, metrics=metrics
    )
    made = Here(workloads, metrics)
    monkeypatch.setattr(pod_resources, "ask", made.ask)
    monkeypatch.setattr(pod_resources, "LEAST_APART_S", 0.01)
    task = asyncio.create_task(workloads.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await kube.close()


def pod(name: str, labels: dict[str, str], *, gpus: int = 1, namespace: str = "prod", ip: str = "") -> Object:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": NODE, "containers": [{"name": "vllm", "resources": {"limits": limits}}]},
        "status": {"phase": "Running", **({"podIP": ip} if ip else {})},
    }


def ours(name: str, service: str, pool: str = "main", **rest: Any) -> Object:
    return pod(name, {"loadline.dev/service": service, "loadline.dev/pool": pool}, **rest)


def services(namespace: str = "prod") -> str:
    return f"/apis/loadline.dev/v1alpha1/namespaces/{namespace}/inferenceservices"


def service(name: str, selector: str = "", namespace: str = "prod", **spec: Any) -> Object:
    ref = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**(ref if selector else {"model": {"uri": "hf://org/name"}}), **spec},
        "status": {"selector": selector} if selector else {},
    }


async def test_gpus_belong_to_the_services_whose_pods_have_them(api: Api, here: Here) -> None:
    here.devices = {"prod/chat-0": ("GPU-0",), "prod/code-0": ("GPU-1",)}
    api.put(PODS, ours("chat-0", "chat"))
    api.put(PODS, ours("code-0", "code"))
    await here.until(lambda: here.workloads.owners("GPU-1") == ("prod/code",))
    assert here.workloads.owners("GPU-0") == ("prod/chat",)
    api.delete(PODS, "chat-0")
    await here.until(lambda: here.workloads.owners("GPU-0") == ())


async def test_without_the_kubelets_word_every_gpu_is_everybodys_and_that_is_told(
    api: Api, here: Here
) -> None:
    here.devices = None
    api.put(PODS, ours("chat-0", "chat"))
    api.put(PODS, ours("code-0", "code"))
    await here.until(lambda: here.workloads.owners("GPU-7") == ("prod/chat", "prod/code"))
    await here.until(lambda: b"loadline_pod_resources 0.0" in here.metrics.text())


async def test_a_foreign_workloads_pods_are_the_attached_services(api: Api, here: Here) -> None:
    here.devices = {"prod/theirs-0": ("GPU-0",)}
    api.put(services(), service("attached", "app=theirs,tier=gpu"))
    api.put(PODS, pod("theirs-0", {"app": "theirs", "tier": "gpu", "hash": "x"}))
    await here.until(lambda: here.workloads.owners("GPU-0") == ("prod/attached",))
    api.put(services(), service("attached", "app=others"))
    await here.until(lambda: here.workloads.owners("GPU-0") == ())


async def test_a_service_of_another_namespace_attaches_nothing_here(api: Api, here: Here) -> None:
    here.devices = {"prod/theirs-0": ("GPU-0",), "test/chat-0": ("GPU-1",)}
    api.put(services("test"), service("attached", "app=theirs", namespace="test"))
    api.put(PODS, pod("theirs-0", {"app": "theirs"}))
    api.put(PODS, ours("chat-0", "chat", namespace="test"))
    owners = here.workloads.owners  # until the kubelet has said which GPU chat-0 has, it may have either
    await here.until(lambda: (owners("GPU-0"), owners("GPU-1")) == ((), ("test/chat",)))


async def test_only_services_next_to_gpu_pods_are_followed(api: Api, here: Here) -> None:
    api.put(PODS, pod("web-0", {}, gpus=0, namespace="web"))
    await here.until(lambda: api.watches == [PODS])
    api.put(PODS, ours("chat-0", "chat"))
    await here.until(lambda: api.watches == [PODS, services()])
    api.delete(PODS, "chat-0")
    await here.until(lambda: api.watches == [PODS])
    assert {path for path, _ in api.asked} == {PODS, services()}
    assert all(query["fieldSelector"] == f"spec.nodeName={NODE}" for path, query in api.asked if path == PODS)


async def test_a_pods_and_a_services_status_wake_nobody(
    api: Api, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(services(), service("chat"))
    api.put(PODS, ours("chat-0", "chat"))
    await here.until(lambda: api.watches == [PODS, services()])
    arranged: list[None] = []
    monkeypatch.setattr(here.workloads._engines, "follow", lambda engines: arranged.append(None))
    for count in range(5):
        busy = ours("chat-0", "chat")
        busy["status"]["conditions"] = [{"type": "Ready", "status": str(count % 2 == 0)}]
        api.put(PODS, busy)
        told = service("chat")
        told["status"] = {"replicas": count, "readyReplicas": count}
        api.put(services(), told)
    api.put(PODS, ours("chat-1", "chat"))
    await here.until(lambda: bool(arranged))
    assert len(arranged) == 1


def histogram(*samples: float) -> Histogram:
    bounds = (0.1, 0.5, 1.0, float("inf"))
    return Histogram(bounds, tuple(float(sum(one <= bound for one in samples)) for bound in bounds))


class Answers:
    """What engines say, by address, instead of a round over the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.latencies: dict[str, list[float]] = {}
        monkeypatch.setattr(engine_scrapers.EngineScraper, "_ask", self.ask)
        monkeypatch.setattr(engine_scrapers, "EVERY_S", 0.01)

    async def ask(self, session: object, engine: engine_scrapers.ScrapedEngine) -> Scrape | None:
        seen = self.latencies.get(engine.url)
        if seen is None:
            return None
        counted = histogram(*seen)
        return Scrape(running=1.0, waiting=2.0, kv_use=0.5, ttft=counted, itl=None, plugin=True)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


async def test_a_service_that_misses_is_reported_and_its_fact_turns_later(
    answers: Answers, api: Api, here: Here
) -> None:
    here.devices = {"prod/chat-0": ("GPU-0",)}
    answers.latencies["http://10.0.0.7:8000/metrics"] = []
    api.put(services(), service("chat", slo={"ttftMs": 500, "percentile": 95}))
    api.put(PODS, ours("chat-0", "chat", ip="10.0.0.7"))
    await here.until(lambda: here.workloads.reports() == (ServiceReport("prod/chat", None),))
    await here.until(lambda: here.workloads.owners("GPU-0") == ("prod/chat",))
    answers.latencies["http://10.0.0.7:8000/metrics"] += [0.7] * 100
    await here.until(lambda: (here.workloads.reports()[0].missed or 0.0) > 1.0)
    fact = here.facts("GPU-0")[0]
    assert (fact.service, fact.pods, fact.gpus, fact.capped) == ("prod/chat", 1, 1, True)
    here.now += HOLD_S
    await here.until(lambda: here.facts("GPU-0")[0].slo_met is False)
    assert here.facts()[0].capped is True
    here.now += HOLD_S
    assert here.facts()[0].capped is False
    assert b'loadline_service_missed_ratio{service="prod/chat"} 1.9' in here.metrics.text()


async def test_engines_without_gpus_are_asked_and_routers_are_not(
    answers: Answers, api: Api, here: Here
) -> None:
    for host in ("10.0.0.7", "10.0.0.8"):
        answers.latencies[f"http://{host}:8000/metrics"] = []
    api.put(services(), service("chat"))
    api.put(PODS, ours("router-0", "chat", "router", gpus=0, ip="10.0.0.8"))
    api.put(PODS, ours("chat-0", "chat", gpus=0, ip="10.0.0.7"))
    await here.until(lambda: bool(here.facts()))
    facts = here.facts()
    assert [(one.service, one.pods, one.gpus) for one in facts] == [("prod/chat", 0, 0)]
    text = here.metrics.text().decode()
    assert 'loadline_service_waiting{service="prod/chat"} 2.0' in text
    assert here.workloads.reports() == ()


async def test_an_engine_of_an_unknown_service_is_not_asked(answers: Answers, api: Api, here: Here) -> None:
    answers.latencies["http://10.0.0.7:8000/metrics"] = []
    api.put(PODS, ours("chat-0", "chat", ip="10.0.0.7"))
    await here.until(lambda: api.watches == [PODS, services()])
    await asyncio.sleep(0.05)
    assert [one.plugin for one in here.facts()] == [None]
    api.put(services(), service("chat"))
    await here.until(lambda: b"loadline_service_running" in here.metrics.text())


async def test_a_restart_turns_no_fact(api: Api, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ServiceOnNode(service="prod/chat", pods=1, gpus=1, capped=True, slo_met=False, plugin=True)
    here.workloads.recall(NodeCapacityStatus(services=(before,)))
    here.devices = {"prod/chat-0": ("GPU-0",)}
    api.put(PODS, ours("chat-0", "chat"))
    await here.until(lambda: here.workloads.owners("GPU-0") == ("prod/chat",))
    assert here.facts() == [before]
    here.now += HOLD_S
    turned = before.model_copy(update={"capped": False})
    assert here.facts() == [turned]


def drawing(here: Here, *uuids: str, watts: float = 350.0) -> None:
    """Two looks at GPUs, as far apart as it takes."""
    for _ in range(2):
        gpus = [GpuState(uuid=uuid, sensor_watts=watts, min_watts=200.0, max_watts=700.0) for uuid in uuids]
        here.workloads.see_gpus(gpus)
        here.now += SETTLE_S


async def test_a_gpu_in_use_by_no_pod_has_an_owner_that_outranks_all(api: Api, here: Here) -> None:
    here.devices = {"prod/chat-0": (f"{GPU}::2",), "prod/batch-0": (OTHER,)}
    api.put(PODS, ours("chat-0", "chat"))
    api.put(PODS, pod("batch-0", {"app": "batch"}))
    drawing(here, GPU, OTHER, THIRD, watts=70.0)
    await here.until(lambda: here.workloads.owners(GPU) == ("prod/chat",))
    await here.until(lambda: here.workloads.unowned() == ())

    def found() -> bool:  # once the kubelet has told of the other pod too: until then any GPU may be its
        drawing(here, GPU, OTHER, THIRD)
        return here.workloads.unowned() == (THIRD,)

    await here.until(found)
    owners = [here.workloads.owners(uuid) for uuid in (GPU, OTHER, THIRD)]
    assert owners == [("prod/chat",), (), (UNKNOWN_OWNER,)]


async def test_while_a_pods_gpus_cannot_be_told_any_gpu_may_be_its(api: Api, here: Here) -> None:
    here.devices = {"prod/batch-0": ("nvidia0",)}
    api.put(PODS, pod("batch-0", {"app": "batch"}))
    await here.until(lambda: here.workloads.unowned() == ())
    drawing(here, GPU)
    await here.until(lambda: here.workloads.owners(GPU) == ())
    drawing(here, GPU)
    assert here.workloads.unowned() == ()


async def test_before_the_pods_are_listed_nobody_says_who_is_here(tmp_path: Path) -> None:
    kube = Kube(Credentials(server="http://127.0.0.1:1"))
    workloads = NodeWorkloads(
        kube, NODE, socket=tmp_path / "kubelet.sock", clock=lambda: 0.0, metrics=Metrics()
    )
    assert workloads.facts(()) is None
    assert workloads.unowned() is None
    await kube.close()
