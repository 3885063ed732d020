"""Agents on a real API server, under the chart's accounts, RBAC and admission policies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loadline_agent.domain.tls_identity import Identity
from loadline_agent.kube import checkpoint_files, credentials
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.declarations import Declarations
from loadline_agent.kube.domain_statuses import DomainStatusWriter
from loadline_agent.kube.elections import Election
from loadline_agent.kube.node_capacities import Facts, NodeCapacityWriter
from loadline_agent.metrics import Metrics
from loadline_agent.workloads.node_workloads import NodeWorkloads
from loadline_api import names
from loadline_api.drills import DrillText
from loadline_api.names import DRILL_ANNOTATION, SYSTEM_NAMESPACE
from loadline_api.node_capacities import Gpu, NodeCapacityStatus, PersistenceMode, ServiceOnNode
from loadline_api.power_domains import PowerDomain
from loadline_api.refreshes import NODE_REFRESH_SECONDS
from loadline_policies.power.protocol.domain_states import DomainState
from loadline_policies.power.protocol.drill_states import DrillOutcome, DrillState
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.member_evidence import Evidence
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.safety.safe_states import GpuRating
from testbed import api_callers, charts, operator_writes
from testbed.api_callers import Caller
from testbed.clocks import Clock
from testbed.cluster.bed import Bed

NODES = ("buoy-0", "buoy-1", "buoy-2")
CANDIDATES = NODES[:2]
ROW = {"loadline.test/fairway": "yes"}
DOMAIN = "fairway"
LEASE = names.LEASES.path(names.lease_name(DOMAIN), namespace=SYSTEM_NAMESPACE)
CONFIG_MAPS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps"
GPU = Gpu(
    uuid="GPU-0",
    min_watts=100,
    max_watts=400,
    enforced_watts=400,
    persistence_mode=PersistenceMode.OFF,
    module_limit_watts=1000,
)
FACTS = Facts(domain=DOMAIN, host_max_watts=2600.0, gpus=(GPU,))
POLICY = (
    "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: polca\nsettings: {threshold1Percent: %d}\n"
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One node's identity and its client."""

    node: str
    kube: Kube
    identity: Identity


@pytest.fixture(scope="module")
def row(bed: Bed) -> Iterator[Bed]:
    """The chart, three nodes, their domain with its Lease and members, as the operator would make them."""
    bed.apply(charts.control_plane_objects())
    bed.add_nodes(NODES, labels=ROW)
    bed.apply([domain()])
    operator = api_callers.caller(bed, names.OPERATOR_ACCOUNT)
    status = {"members": list(NODES), "candidates": list(CANDIDATES)}
    body = {"apiVersion": names.API_VERSION, "kind": "PowerDomain", "status": status}
    operator.apply_status(names.POWER_DOMAINS.path(DOMAIN), body, manager=names.OPERATOR_MANAGER)
    yield bed
    operator.http.close()
    allowed = {"metadata": {"annotations": {names.DELETE_ARMED_ANNOTATION: ""}}}
    bed.client.patch(names.POWER_DOMAINS.path(DOMAIN), allowed)
    bed.client.delete(names.POWER_DOMAINS.path(DOMAIN))


def domain(name: str = DOMAIN, **spec: Any) -> dict[str, Any]:
    declared = {
        "budgetWatts": 20_000,
        "nodeSelector": {"matchLabels": ROW},
        "hostWatts": {"max": 2600},
        **spec,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "PowerDomain",
        "metadata": {"name": name},
        "spec": declared,
    }


@pytest.fixture
def operator(row: Bed) -> Iterator[Caller]:
    made = api_callers.caller(row, names.OPERATOR_ACCOUNT)
    yield made
    made.http.close()


@pytest.fixture
def lease(row: Bed, operator: Caller) -> Iterator[None]:
    """The domain's Lease, empty; guarded by the admission policies."""
    body = operator_writes.lease(DOMAIN, CANDIDATES)
    made = operator.send("POST", names.LEASES.path(namespace=SYSTEM_NAMESPACE), body=body)
    stranger = api_callers.caller(row, names.AGENT_ACCOUNT, node=NODES[2])
    api_callers.eventually(lambda: stranger.refusal("PUT", LEASE, made, by="is not in the annotation"))
    stranger.http.close()
    yield
    row.client.delete(LEASE)


@pytest.fixture
async def agents(row: Bed, tmp_path: Path) -> AsyncIterator[list[Agent]]:
    """The three nodes' agents, each with a token bound to its node."""
    async with AsyncExitStack() as stack:
        made = []
        for node in NODES:
            bound = row.identity(names.AGENT_ACCOUNT, SYSTEM_NAMESPACE, node=node)
            kube = Kube(credentials.find(bound.kubeconfig))
            stack.push_async_callback(kube.close)
            identity = Identity.load_or_create(tmp_path / node, node=node, address="127.0.0.1:9476")
            made.append(Agent(node, kube, identity))
        yield made


@pytest.fixture
async def background() -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Runs something until the test ends."""
    tasks: list[asyncio.Task[None]] = []
    yield lambda work: tasks.append(asyncio.create_task(work))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(so: Callable[[], bool], *, within_s: float = 10.0) -> None:
    for _ in range(int(within_s / 0.02)):
        if so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not so after {within_s:g} s")


def capacity(
    agent: Agent, facts: Facts = FACTS, clock: Callable[[], float] = time.monotonic
) -> NodeCapacityWriter:
    return NodeCapacityWriter(agent.kube, agent.identity, facts=lambda: facts, clock=clock)


def election(agent: Agent, clock: Callable[[], float]) -> Election:
    return Election(
        agent.kube,
        namespace=SYSTEM_NAMESPACE,
        lease_name=names.lease_name(DOMAIN),
        node=agent.node,
        clock=clock,
    )


async def test_a_node_tells_of_itself_and_only_when_it_changes(row: Bed, agents: list[Agent]) -> None:
    told = capacity(agents[0])
    await told.step()
    assert told.problem is None
    path = names.NODE_CAPACITIES.path("buoy-0")
    written = row.client.get(path)
    assert written["spec"] == {"certificate": agents[0].identity.pem, "address": "127.0.0.1:9476"}
    assert written["status"]["gpus"][0]["enforcedWatts"] == 400
    assert written["metadata"]["ownerReferences"][0]["kind"] == "Node"
    await told.step()
    await capacity(agents[0]).step()  # a successor finds everything as it should be
    assert row.client.get(path)["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


async def test_what_has_not_changed_is_told_again_before_it_is_taken_for_a_dead_agents(
    row: Bed, agents: list[Agent]
) -> None:
    clock, path, began = Clock(1000.0), names.NODE_CAPACITIES.path("buoy-0"), datetime.now(UTC)

    def successor(after_s: float) -> NodeCapacityWriter:
        return NodeCapacityWriter(
            agents[0].kube,
            agents[0].identity,
            facts=lambda: FACTS,
            clock=clock,
            wall=lambda: began + timedelta(seconds=after_s),
        )

    await successor(0.0).step()
    first = row.client.get(path)
    assert first["status"]["refreshSeconds"] == NODE_REFRESH_SECONDS
    await successor(NODE_REFRESH_SECONDS - 2.0).step()
    assert row.client.get(path)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    await successor(NODE_REFRESH_SECONDS + 1.0).step()
    again = row.client.get(path)
    assert again["status"]["observedTime"] > first["status"]["observedTime"]
    assert again["status"]["conditions"] == first["status"]["conditions"]


async def test_limits_wait_and_faults_do_not(row: Bed, agents: list[Agent]) -> None:
    clock, path = Clock(1000.0), names.NODE_CAPACITIES.path("buoy-1")
    facts = [FACTS]
    told = NodeCapacityWriter(agents[1].kube, agents[1].identity, facts=lambda: facts[0], clock=clock)
    await told.step()
    facts[0] = replace(FACTS, gpus=(GPU.model_copy(update={"enforced_watts": 200}),))
    clock.now += 9.0
    await told.step()
    assert row.client.get(path)["status"]["gpus"][0]["enforcedWatts"] == 400
    clock.now += 1.0
    await told.step()
    assert row.client.get(path)["status"]["gpus"][0]["enforcedWatts"] == 200
    facts[0] = replace(facts[0], faults={"OtherWriter": "the limit is 300 W, not 200 W"})
    await told.step()
    conditions = {one["type"]: one for one in row.client.get(path)["status"]["conditions"]}
    assert conditions["Conflict"]["status"] == "True"
    assert conditions["Conflict"]["message"] == "the limit is 300 W, not 200 W"


async def test_a_capacity_that_somebody_deleted_is_written_anew(row: Bed, agents: list[Agent]) -> None:
    clock, path = Clock(1000.0), names.NODE_CAPACITIES.path("buoy-2")
    told = capacity(agents[2], clock=clock)
    await told.step()
    row.client.delete(path)
    clock.now += 60.0
    await told.step()
    assert told.problem is None
    assert row.client.get(path)["status"]["domain"] == DOMAIN


async def test_nobody_writes_another_nodes_capacity(row: Bed, agents: list[Agent]) -> None:
    api_callers.eventually(lambda: _denied(row))
    forged = Agent("buoy-0", agents[2].kube, agents[0].identity)
    told = capacity(forged, replace(FACTS, domain="another"))
    await told.step()
    assert "NodeCapacity buoy-0 may be written only by the loadline-agent of that node" in str(told.problem)


def _denied(row: Bed) -> str:
    path, body = names.NODE_CAPACITIES.path(), {"apiVersion": names.API_VERSION, "kind": "NodeCapacity"}
    stranger = api_callers.caller(row, names.AGENT_ACCOUNT, node=NODES[2])
    spec = {"certificate": "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", "address": "h:1"}
    forged = {**body, "metadata": {"name": "buoy-9"}, "spec": spec}
    with stranger.http:
        return stranger.refusal("POST", path, forged, by="may be written only by")


@pytest.mark.usefixtures("lease")
async def test_candidates_lead_one_after_the_other(row: Bed, agents: list[Agent]) -> None:
    clock = Clock(1000.0)
    first, second, third = (election(agent, clock) for agent in agents)
    await third.step()
    assert third.epoch is None, "no candidate"
    await first.step()
    uid = row.client.get(LEASE)["metadata"]["uid"]
    assert first.epoch == Epoch(1, uid)
    await second.step()
    assert second.epoch is None
    assert second.holder == "buoy-0"
    clock.now += 3.0
    await first.step()
    assert (first.epoch, first.renewed_sent_s) == (Epoch(1, uid), 1003.0)
    await first.resign()
    await second.step()
    assert second.epoch == Epoch(2, uid)
    clock.now += 3.0
    await first.step()
    assert first.holder == "buoy-1"
    assert [one.problem for one in (first, second, third)] == [None, None, None]


@pytest.mark.usefixtures("lease")
async def test_a_candidate_that_vanished_is_followed(row: Bed, agents: list[Agent]) -> None:
    clock = Clock(1000.0)
    gone, next_one = (election(agent, clock) for agent in agents[:2])
    await gone.step()
    for _ in range(4):
        await next_one.step()
        clock.now += 5.0
    assert next_one.epoch is not None
    assert next_one.epoch.transitions == 2
    assert row.client.get(LEASE)["spec"]["holderIdentity"] == "buoy-1"


async def test_a_leaf_learns_where_it_belongs_and_who_may_lead(
    row: Bed, agents: list[Agent], tmp_path: Path, background: Callable[[Any], None]
) -> None:
    for agent in agents[:2]:
        await capacity(agent).step()
    told = Declarations(agents[2].kube, "buoy-2", SYSTEM_NAMESPACE, state_dir=tmp_path)
    background(told.run())
    await until(lambda: len(told.candidates(DOMAIN)) == 2)
    assert told.home() == Home(domain=DOMAIN, host_idle_watts=2600.0, host_max_watts=2600.0)
    assert [peer.node for peer in told.candidates(DOMAIN)] == ["buoy-0", "buoy-1"]
    assert told.node_of(agents[0].identity.der) == "buoy-0"
    assert told.node_of(agents[2].identity.der) is None
    assert told.candidates("another") == ()

    away = Kube(Credentials(server="http://127.0.0.1:1"))
    restarted = Declarations(away, "buoy-2", SYSTEM_NAMESPACE, state_dir=tmp_path)
    assert restarted.home() == told.home()
    assert restarted.candidates(DOMAIN) == told.candidates(DOMAIN)
    stranger = Declarations(away, "buoy-2", SYSTEM_NAMESPACE, state_dir=tmp_path / "empty")
    assert stranger.home() is None
    await away.close()


async def test_two_domains_that_claim_a_node_are_a_conflict(
    row: Bed, agents: list[Agent], background: Callable[[Any], None]
) -> None:
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE)
    background(told.run())
    await until(lambda: told.home() is not None)
    row.apply([domain("ferry")])
    await until(lambda: told.home() != Home(domain=DOMAIN, host_idle_watts=2600.0, host_max_watts=2600.0))
    home = told.home()
    assert home is not None
    assert home.domain == DOMAIN
    assert "fairway, ferry" in str(home.conflict)
    row.client.delete(names.POWER_DOMAINS.path("ferry"))
    await until(lambda: (now := told.home()) is not None and now.conflict is None)


async def test_a_domain_that_was_deleted_is_gone_by_the_api_servers_own_word(
    row: Bed, agents: list[Agent], background: Callable[[Any], None]
) -> None:
    clock = Clock(1000.0)
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE, clock=clock)
    row.apply([domain("skiff", nodeSelector={"matchLabels": {"loadline.test/nowhere": "yes"}})])
    background(told.run())
    await until(lambda: told.home() is not None)
    told.keep(lambda: "skiff")

    async def gone(after_s: float) -> str | None:
        clock.now += after_s
        await told.relist()
        home = told.home()
        return home.gone if home is not None else None

    assert [await gone(0.0), await gone(60.0)] == [None, None], "it is there"
    row.client.delete(names.POWER_DOMAINS.path("skiff"))
    await until(lambda: "skiff" not in told._domains.items)
    assert [await gone(0.0), await gone(29.0), await gone(1.0)] == [None, None, "skiff"]


async def test_a_coordinator_follows_budget_policy_priorities_and_certificates(
    row: Bed, namespace: str, agents: list[Agent], tmp_path: Path, background: Callable[[Any], None]
) -> None:
    for agent in agents:
        await capacity(agent).step()
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE, state_dir=tmp_path)
    background(told.run())
    await until(lambda: told.home() is not None)
    assert told.domain() is None
    told.lead()
    await until(lambda: told.domain() is not None)
    found = told.domain()
    assert found is not None
    assert (found.name, found.budget_watts, found.enforce) == (DOMAIN, 20_000.0, False)
    assert found.members == set(NODES)
    assert found.ratings["buoy-2"].gpus == (GpuRating("GPU-0", 100.0, 400.0),)
    assert told.node_of(agents[2].identity.der) == "buoy-2"
    assert told.domain() is found, "the same object until something changes"
    assert told.problems == ()

    service = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"model": {"uri": "hf://org/name"}, "priority": 100},
    }
    row.apply([service])
    await until(lambda: _priority(told, f"{namespace}/chat") == 100)
    row.apply([domain(mode="Enforce", budgetWatts=21_000)])
    await until(lambda: (now := told.domain()) is not None and now.enforce and now.budget_watts == 21_000)
    row.apply([domain()])
    told.stop_leading()


async def test_a_policy_is_hot_and_a_bad_edit_keeps_the_last_good_one(
    row: Bed, agents: list[Agent], tmp_path: Path, background: Callable[[Any], None]
) -> None:
    row.apply([domain(policyRef={"name": "trial"})])
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE, state_dir=tmp_path)
    background(told.run())
    told.lead()
    await until(lambda: told.domain() is not None)
    assert "the policy shipped with Loadline is in force" in " ".join(told.problems)

    row.apply([config_map(POLICY % 70)])
    await until(lambda: _first_threshold(told) == 70, within_s=2.0)
    row.apply([config_map(POLICY % 75)])
    await until(lambda: _first_threshold(told) == 75, within_s=2.0)
    assert told.problems == ()
    row.apply([config_map(POLICY % 140)])
    await until(lambda: "threshold1Percent" in " ".join(told.problems), within_s=2.0)
    assert _first_threshold(told) == 75

    successor = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE, state_dir=tmp_path)
    background(successor.run())
    successor.lead()
    await until(lambda: successor.domain() is not None)
    assert _first_threshold(successor) == 75
    assert "the last good one stays in force" in " ".join(successor.problems)
    row.client.delete(f"{CONFIG_MAPS}/trial")
    row.apply([domain()])
    for one in (told, successor):
        one.stop_leading()


@pytest.mark.parametrize(
    ("node", "threshold"), [("buoy-1", 70), ("buoy-2", None)], ids=["candidate", "other"]
)
async def test_who_may_lead_knows_the_last_good_policy_from_before_a_bad_edit(
    row: Bed,
    agents: list[Agent],
    tmp_path: Path,
    background: Callable[[Any], None],
    node: str,
    threshold: int | None,
) -> None:
    """A coordinator died while a typo stood in the policy; its successor decided by the shipped default."""
    row.apply([domain(policyRef={"name": "trial"}), config_map(POLICY % 70)])
    agent = agents[NODES.index(node)]
    heir = Declarations(agent.kube, node, SYSTEM_NAMESPACE, state_dir=tmp_path)
    background(heir.run())
    await until(lambda: heir.home() is not None)
    kept = f"{SYSTEM_NAMESPACE}/trial"
    if threshold is not None:
        await until(lambda: kept in checkpoint_files.recall(tmp_path).policies)
    row.apply([config_map(POLICY % 140)])
    if threshold is not None:
        await until(lambda: "threshold1Percent" in " ".join(heir.problems), within_s=2.0)
    heir.lead()
    await until(lambda: heir.domain() is not None)
    assert ("the policy shipped with Loadline is in force" in " ".join(heir.problems)) is (threshold is None)
    assert threshold is None or _first_threshold(heir) == threshold
    heir.stop_leading()
    row.client.delete(f"{CONFIG_MAPS}/trial")
    row.apply([domain()])


def config_map(text: str) -> dict[str, Any]:
    labels = {names.POLICY_LABEL: "power"}
    metadata = {"name": "trial", "namespace": SYSTEM_NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {names.POLICY_KEY: text}}


def _first_threshold(told: Declarations) -> object:
    found = told.domain()
    return getattr(found.document.config, "threshold1_percent", None) if found is not None else None


def _priority(told: Declarations, service: str) -> int | None:
    found = told.domain()
    return found.services[service].priority if found is not None and service in found.services else None


async def test_pods_on_the_node_own_its_gpus(
    row: Bed, namespace: str, agents: list[Agent], background: Callable[[Any], None], tmp_path: Path
) -> None:
    here = NodeWorkloads(
        agents[0].kube, "buoy-0", socket=tmp_path / "no-kubelet.sock", clock=time.monotonic, metrics=Metrics()
    )
    background(here.run())
    ours = {names.SERVICE_LABEL: "chat"}
    row.apply(
        [
            pod("chat-0", namespace, labels=ours, node="buoy-0"),
            pod("code-0", namespace, labels=ours, node="buoy-1"),
        ]
    )
    await until(lambda: here.owners("GPU-0") == (f"{namespace}/chat",))
    row.client.delete(f"/api/v1/namespaces/{namespace}/pods/chat-0", gracePeriodSeconds="0")
    await until(lambda: here.owners("GPU-0") == ())


async def test_pods_of_a_foreign_workload_are_the_attached_services(
    row: Bed,
    namespace: str,
    agents: list[Agent],
    operator: Caller,
    background: Callable[[Any], None],
    tmp_path: Path,
) -> None:
    here = NodeWorkloads(
        agents[0].kube, "buoy-0", socket=tmp_path / "no-kubelet.sock", clock=time.monotonic, metrics=Metrics()
    )
    background(here.run())
    row.apply([pod("theirs-0", namespace, labels={"app": "theirs", "pod-template-hash": "1"}, node="buoy-0")])
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    made: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": "attached", "namespace": namespace},
        "spec": {"workloadRef": ref},
    }
    row.apply([made])
    del made["spec"]
    path = names.INFERENCE_SERVICES.path("attached", namespace=namespace)
    operator.apply_status(
        path, {**made, "status": {"selector": "app=theirs"}}, manager=names.OPERATOR_MANAGER
    )
    await until(lambda: here.owners("GPU-0") == (f"{namespace}/attached",))
    facts = [(one.service, one.pods, one.gpus) for one in here.facts(()) or ()]
    assert facts == [(f"{namespace}/attached", 1, 8)]


async def test_a_services_facts_are_taken_by_the_api(row: Bed, agents: list[Agent]) -> None:
    service = ServiceOnNode(service="prod/chat", pods=2, gpus=8, capped=True, slo_met=False, plugin=True)
    told = capacity(agents[2], replace(FACTS, services=(service,)))
    await told.step()
    assert told.problem is None
    written = row.client.get(names.NODE_CAPACITIES.path("buoy-2"))["status"]["services"]
    facts = {"pods": 2, "gpus": 8, "capped": True, "sloMet": False, "plugin": True}
    assert written == [{"service": "prod/chat", **facts}]


async def test_a_successor_learns_what_was_found_of_services_and_leaves_it(
    row: Bed, agents: list[Agent]
) -> None:
    service = ServiceOnNode(service="prod/chat", pods=2, gpus=8, slo_met=True)
    await capacity(agents[1], replace(FACTS, services=(service,))).step()
    found: list[NodeCapacityStatus] = []
    unknown = replace(FACTS, services=None)
    told = NodeCapacityWriter(
        agents[1].kube, agents[1].identity, facts=lambda: unknown, clock=time.monotonic, found=found.append
    )
    await told.step()
    assert [status.services for status in found] == [(service,)]
    written = row.client.get(names.NODE_CAPACITIES.path("buoy-1"))["status"]["services"]
    assert written == [{"service": "prod/chat", "pods": 2, "gpus": 8, "sloMet": True}]


def pod(name: str, namespace: str, *, labels: dict[str, str], node: str) -> dict[str, Any]:
    container = {"name": "engine", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [container]},
    }


OUTLOOK = DomainState(
    watts=15_000.0,
    load=0.75,
    age_s=0.2,
    headroom_watts=5_000.0,
    level="Normal",
    held=HoldReason.NOT,
    heat=0.5,
    brakes=0,
    nodes=3,
    silent=(),
    enforcing=False,
    agreed=False,
    safety=None,
    problem=None,
    policy_hash="abc",
    evidence=Evidence(heard_watts=15_000.0, unarmed=("buoy-0", "buoy-1", "buoy-2"), budget_watts=20_000.0),
)


@pytest.mark.usefixtures("lease")
async def test_only_the_holder_tells_how_the_domain_stands(
    row: Bed, agents: list[Agent], background: Callable[[Any], None]
) -> None:
    clock = Clock(1000.0)
    first = election(agents[0], clock)
    await first.step()
    assert first.epoch is not None
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE)
    background(told.run())
    told.lead()
    await until(lambda: told.domain() is not None)
    writer, pretender = (
        DomainStatusWriter(agent.kube, agent.node, domain=told.domain, clock=clock) for agent in agents[:2]
    )

    writer.tell(first.epoch, OUTLOOK)
    await writer.step()
    assert writer.problem is None
    status = row.client.get(names.POWER_DOMAINS.path(DOMAIN))["status"]
    assert (status["coordinator"], status["observedWatts"], status["level"]) == ("buoy-0", 15_000, "Normal")
    assert status["members"] == list(NODES), "the operator's half stays"

    pretender.tell(first.epoch, OUTLOOK)
    await pretender.step()
    assert "does not hold Lease" in str(pretender.problem)


@pytest.mark.usefixtures("lease")
async def test_an_order_for_a_drill_reaches_the_coordinator_and_a_successor_keeps_what_was_seen(
    row: Bed, agents: list[Agent], background: Callable[[Any], None]
) -> None:
    clock, text = Clock(1000.0), str(DrillText(datetime.now(UTC), 10))
    first = election(agents[0], clock)
    await first.step()
    assert first.epoch is not None
    told = Declarations(agents[0].kube, "buoy-0", SYSTEM_NAMESPACE)
    background(told.run())
    told.lead()
    await until(lambda: told.domain() is not None)
    row.kubectl("annotate", "pdom", DOMAIN, f"{DRILL_ANNOTATION}={text}")
    await until(lambda: (now := told.domain()) is not None and now.drill is not None)
    found = told.domain()
    assert found is not None
    assert found.drill is not None
    assert (found.drill.text, found.drill.seconds, found.drill.age_s < 10.0) == (text, 10.0, True)

    seen = DrillState(order=found.drill, outcome=DrillOutcome.HOLDING, begun_age_s=1.0, safe_watts=9.0)
    writer = DomainStatusWriter(agents[0].kube, "buoy-0", domain=told.domain, clock=clock)
    writer.tell(first.epoch, replace(OUTLOOK, drill=seen))
    await writer.step()
    assert writer.problem is None
    successor = DomainStatusWriter(agents[0].kube, "buoy-0", domain=told.domain, clock=clock)
    successor.tell(replace(first.epoch, transitions=9), OUTLOOK)
    await successor.step()
    status = PowerDomain.parse(row.client.get(names.POWER_DOMAINS.path(DOMAIN))).status
    assert status.drill is not None
    assert (status.drill.order, status.drill.outcome, status.drill.safe_watts) == (text, "Stopped", 9)
    row.kubectl("annotate", "pdom", DOMAIN, f"{DRILL_ANNOTATION}-")
    await until(lambda: (now := told.domain()) is not None and now.drill is None)

    clock.now += 1.0
    above = replace(OUTLOOK.evidence, heard_watts=20_400.0)
    told_last = replace(OUTLOOK, load=1.02, watts=20_400.0, silent=("buoy-2",), evidence=above)
    writer.tell(first.epoch, told_last)
    await writer.step()
    assert writer.problem is None
    status = row.client.get(names.POWER_DOMAINS.path(DOMAIN))["status"]
    assert (status["silentNodes"], status["nodesReporting"]) == (["buoy-2"], 2)
    assert {"AboveBudget", "NodesSilent"} <= _events(row)
    told.stop_leading()


def _events(row: Bed) -> set[str]:
    events = row.client.get("/api/v1/namespaces/default/events")["items"]
    return {one["reason"] for one in events if one["involvedObject"]["name"] == DOMAIN}


async def test_an_outage_of_the_api_server_changes_nothing_and_is_caught_up_with() -> None:
    with Bed() as bed:
        bed.apply(charts.control_plane_objects())
        bed.add_nodes(["lone"], labels=ROW)
        bed.apply([domain()])
        bound = bed.identity(names.AGENT_ACCOUNT, SYSTEM_NAMESPACE, node="lone")
        kube = Kube(credentials.find(bound.kubeconfig))
        told = Declarations(kube, "lone", SYSTEM_NAMESPACE)
        told.lead()
        running = asyncio.create_task(told.run())
        await until(lambda: told.domain() is not None)
        before = told.domain()
        await asyncio.to_thread(bed.apiserver.stop)
        await until(lambda: bool(told.problems))
        assert told.home() is not None
        assert told.domain() is before
        await asyncio.to_thread(bed.apiserver.start)
        await asyncio.to_thread(bed.apply, [domain(budgetWatts=30_000)])
        await until(lambda: (now := told.domain()) is not None and now.budget_watts == 30_000)
        await until(lambda: told.problems == ())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await kube.close()
