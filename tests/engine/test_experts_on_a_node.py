"""A model of experts on a real node: its table, a capacity, the guard, and an agent that is gone."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demos.serving import trials
from demos.serving.clusters import Engine, ServingCluster
from demos.serving.completions import Load
from demos.serving.services import Service
from loadline_api import names
from loadline_api.worker_messages import WORKER_AUDIENCE, WORKER_PATH, WorkerPod, WorkerReport, encode
from testbed.cluster.clients import Object
from testbed.cluster.waits import wait_for
from testbed.engines import expert_models

pytestmark = [pytest.mark.node, pytest.mark.engine, pytest.mark.timeout(900)]

POLICY = "experts-trial"
RANKS = 4
LEASE_S = 12.0

OPEN: Object = {
    "minGainPercent": 0,
    "cooldownSeconds": 1,
    "maxDroppedPercent": 100,
    "maxWithoutExpertPermille": 1000,
    "maxCanaryDriftMillinats": 10_000,
    "breachHoldSeconds": 5,
}
"""Settings by which nothing but what a test is about ends a capacity."""

GUARD: Object = {
    "maxDroppedPercent": 100,
    "maxWithoutExpertPermille": 1000,
    "maxCanaryDriftMillinats": 10_000,
}

LONG_PROMPT = "{number}. " + "In the harbour the load line of the ship is wet. " * 12


@pytest.fixture(scope="module")
def cluster(plugins: Path) -> Iterator[ServingCluster]:
    model = expert_models.ensure("olmoe")
    with ServingCluster(Engine.VLLM, gpus=1, model=model, plugins=plugins) as cluster:
        cluster.install()
        write_policy(cluster, "all-tokens")
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: ServingCluster) -> Iterator[Service]:
    """A service that misses its objective all the time, since nothing answers in a millisecond."""
    experts = {
        "mode": "Enforce",
        "policyRef": {"name": POLICY},
        "gamma": {"minPercent": 100, "maxPercent": 300},
        "guard": GUARD,
        "minTokens": 64,
    }
    slo = {"ttftMs": 1, "percentile": 50}
    environment = trials.told(
        LOADLINE_EXPERTS_RANKS=str(RANKS),
        LOADLINE_EXPERTS_LEAST_TOKENS="64",
        TORCHDYNAMO_DISABLE="1",  # it takes the fake NVML in the pod for a GPU of CUDA's, and fails
    )
    service = trials.serve(
        cluster,
        namespace="default",
        name="moe",
        router=None,
        slo=slo,
        experts=experts,
        template=environment,
    )
    with Load(service.url, service.model, prompt=LONG_PROMPT, at_once=2, tokens=2):
        yield service


def write_policy(cluster: ServingCluster, policy: str, **settings: Any) -> float:
    """Apply a document of the experts' loop; when that was."""
    lines = [f"  {key}: {value}" for key, value in settings.items()]
    head = ["schema: policies.loadline.dev/v1alpha1", "loop: experts", f"policy: {policy}"]
    text = "\n".join([*head, *(["settings:", *lines] if lines else [])])
    metadata = {"name": POLICY, "labels": {names.POLICY_LABEL: "experts"}}
    data = {names.POLICY_KEY: text}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    cluster.apply(document, namespace=names.SYSTEM_NAMESPACE)
    return time.monotonic()


def bound(cluster: ServingCluster, service: Service, percent: int) -> float:
    """Have a policy bound experts to one γ, and wait until the engine does; after how many seconds."""
    changed = {**OPEN, "minGammaPercent": percent, "maxGammaPercent": percent}
    began_s = write_policy(cluster, "capacity-factor", **changed)
    until(service, lambda: gamma(service) == percent / 100, f"γ is {percent} percent in the engine")
    return time.monotonic() - began_s


def gamma(service: Service) -> float | None:
    """The γ that all ranks report to hold; None if none is in force."""
    found = service.counters("main", "loadline:experts_gamma")
    return next((value for value in found.values() if math.isfinite(value)), None)


def until(service: Service, holds: Callable[[], bool], what: str) -> None:
    service.wait(lambda: holds() or None, what, limit_s=90.0)


def test_the_shadow_table_is_in_the_status_and_in_prometheus(service: Service) -> None:
    until(service, lambda: len(shown(service).get("gammas", ())) == 5, "there is a table")
    found = shown(service)
    assert found["engines"] == 1
    assert found["layers"] == expert_models.LAYERS
    assert found["rankLoadPercent"] > 100
    dropped = [row["droppedPermille"] for row in found["gammas"]]
    assert dropped == sorted(dropped, reverse=True)
    assert dropped[0] > 0
    assert service.counters("main", "loadline:experts_imbalance{")
    assert service.condition("ExpertsObserved")["status"] == "True"
    service.until("ExpertsBounded", "False", reason="PolicyObserves")


def test_an_edit_of_the_policy_moves_gamma_in_the_running_engine(
    cluster: ServingCluster, service: Service
) -> None:
    uids = [pod["metadata"]["uid"] for pod in service.pods("main")]
    bound(cluster, service, 200)
    service.until("ExpertsBounded", "True")
    taken_s = [bound(cluster, service, percent) for percent in (150, 125, 150)]
    assert sorted(taken_s)[1] <= 5.0, taken_s
    assert shown(service)["boundedEngines"] == 1
    assert [pod["metadata"]["uid"] for pod in service.pods("main")] == uids


def test_the_guard_ends_a_capacity_under_which_answers_drift(
    cluster: ServingCluster, service: Service
) -> None:
    bound(cluster, service, 100)
    until(service, lambda: shown(service).get("canaryDriftMillinats") is not None, "the drift is known")
    narrow = {"minGammaPercent": 100, "maxGammaPercent": 100, "maxCanaryDriftMillinats": 0}
    write_policy(cluster, "capacity-factor", **{**OPEN, **narrow, "breachHoldSeconds": 20})
    service.until("ExpertsBounded", "False", reason="GuardBreached")
    assert gamma(service) is None


def test_a_report_without_the_pods_token_is_refused(cluster: ServingCluster, service: Service) -> None:
    (engine,) = service.pods("main")
    (agent,) = cluster.system_pods("agent")
    stranger = cluster.bed.kubectl(
        "create", "token", "default", "--audience", WORKER_AUDIENCE, "--namespace", "default"
    ).strip()
    pod = WorkerPod(uid=engine["metadata"]["uid"], name=engine["metadata"]["name"], namespace="default")
    report = WorkerReport(pod=pod, service="moe", pool="main", ranks=1)
    address = cluster.bed.kubectl(
        "get", "pod", agent, "-n", names.SYSTEM_NAMESPACE, "-o", "jsonpath={.status.podIP}"
    )
    answer = httpx.post(
        f"http://{address}:9479{WORKER_PATH}",
        content=encode(report),
        headers={"Authorization": f"Bearer {stranger}"},
        trust_env=False,
    )
    assert answer.status_code in (401, 403)


def test_without_its_agent_the_engine_drops_nothing_within_the_lease(
    cluster: ServingCluster, service: Service
) -> None:
    bound(cluster, service, 150)
    nowhere = '{"spec":{"template":{"spec":{"nodeSelector":{"loadline.dev/nowhere":"true"}}}}}'
    cluster.bed.kubectl("patch", "daemonset", "loadline-agent", "-n", names.SYSTEM_NAMESPACE, "-p", nowhere)
    wait_for(lambda: not cluster.system_pods("agent") or None, "the agent is gone", standstill_s=60.0)
    gone_s = time.monotonic()
    until(service, lambda: gamma(service) is None, "the capacity has ended")
    assert time.monotonic() - gone_s <= LEASE_S + 1.0
    assert service.complete("Where is the harbour?")


def shown(service: Service) -> Object:
    """The experts in the service's status."""
    found: Object = service.now.get("status", {}).get("experts") or {}
    return found
