"""A service on a real node with little KV memory: admission, rungs that come and go, the guard, a refusal.

One engine serves for all of it; another one refuses to start, which takes it seconds. What an engine
does that is asked to serve without bounds (`Degrade`) is tested inside the engine.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from demos.serving import trials
from demos.serving.clusters import Engine, ServingCluster
from demos.serving.completions import Load
from demos.serving.services import Service
from loadline_api import names
from loadline_policies.loops import Loop
from testbed.cluster.clients import Object
from testbed.engines.models import WORDS

pytestmark = [pytest.mark.node, pytest.mark.engine, pytest.mark.timeout(1200)]

POLICIES = {Loop.KV: "admission-trial", Loop.KV_RETENTION: "rungs-trial"}
RULES = {Loop.KV: "predicted-memory", Loop.KV_RETENTION: "memory-rungs"}
LARGE, SMALL, BUFFER = 128, 96, 32
LEASE_S = 12.0

QUICK: Object = {
    "rungTokens": f"[{LARGE}, {SMALL}]",
    "windowSeconds": 6,
    "calmSeconds": 12,
    "settleSeconds": 12,
    "maxPrefixHitPercent": 100,
    "maxRecallLossPercent": 100,
    "maxCanaryDriftMillinats": 10_000,
}
"""Settings by which nothing but memory moves the budget, in seconds instead of minutes."""

LITTLE_MEMORY = ["--num-gpu-blocks-override=65", "--block-size=32", "--no-enable-prefix-caching"]
"""2,048 tokens, as many as one request of the model's whole context."""

BOUNDED: Object = {
    "mode": "Enforce",
    "policyRef": {"name": POLICIES[Loop.KV_RETENTION]},
    "bufferTokens": BUFFER,
    "recentTokens": 16,
    "protectTokens": 32,
}
OFF_ITS_BLOCKS: Object = {
    "mode": "Enforce",
    "budgetTokens": 176,
    "bufferTokens": BUFFER,
    "onProbeFailure": "Refuse",
}
"""No multiple of 32, which the API server can't know of an engine that chooses its block size itself."""

REQUESTS, TOKENS = 20, 120
"""Answers for admission; with its prompt each takes five blocks of 32 tokens, so 12 of the 20 fit."""

ADMITTED: Object = {"mode": "Enforce", "estimator": "WorstCase", "reservePercent": 0}
PROMPT = "{number} " + " ".join(WORDS[:100] + WORDS[:50])
AT_ONCE, ANSWER_TOKENS = 12, 200
"""Requests of 350 tokens: half of them fit without a budget, and all with the smaller one."""


@pytest.fixture(scope="module")
def cluster(plugins: Path) -> Iterator[ServingCluster]:
    with ServingCluster(Engine.VLLM, gpus=2, plugins=plugins) as cluster:
        cluster.install()
        write_policy(cluster, Loop.KV_RETENTION, **QUICK, retention="observe")
        write_policy(cluster, Loop.KV, admission="observe")
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: ServingCluster) -> Service:
    apply(cluster, retention=OFF_ITS_BLOCKS)
    return cluster.service("chat", "default")


def apply(cluster: ServingCluster, *, retention: Object, arguments: list[str] | None = None) -> None:
    """Apply the service; `TORCHDYNAMO_DISABLE` since the fake NVML in the pod passes for a GPU of CUDA's."""
    spec: Object = {
        "router": None,
        "kvCache": {
            "policyRef": {"name": POLICIES[Loop.KV]},
            "admission": ADMITTED,
            "retention": retention,
        },
        "template": trials.told(TORCHDYNAMO_DISABLE="1"),
    }
    if arguments is not None:
        spec["engine"] = {"arguments": arguments}
    cluster.apply(trials.manifest("chat", **spec), namespace="default")


def write_policy(cluster: ServingCluster, loop: Loop, **settings: Any) -> None:
    """Apply a document of one of the two loops."""
    lines = [f"  {key}: {value}" for key, value in settings.items()]
    head = ["schema: policies.loadline.dev/v1alpha1", f"loop: {loop.value}", f"policy: {RULES[loop]}"]
    metadata = {"name": POLICIES[loop], "labels": {names.POLICY_LABEL: loop.value}}
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {names.POLICY_KEY: "\n".join([*head, "settings:", *lines])},
    }
    cluster.apply(document, namespace=names.SYSTEM_NAMESPACE)


def until(service: Service, holds: Callable[[], bool], what: str) -> None:
    service.wait(lambda: holds() or None, what, limit_s=240.0)


def ask(service: Service, *, protect: list[int]) -> None:
    """Ask for an answer, and have a span of the prompt protected."""
    body = {
        "model": service.model,
        "prompt": PROMPT.format(number=0),
        "max_tokens": 4,
        "vllm_xargs": {"loadline_protect": protect},
    }
    answer = httpx.post(f"{service.url}/v1/completions", json=body, timeout=60.0, trust_env=False)
    assert answer.status_code == 200


def kept(service: Service) -> float | None:
    """What a request keeps that arrives now, as the engine publishes it; None while it keeps all."""
    found = service.counters("main", "loadline:retention_kept_tokens")
    return next((value for value in found.values() if value != float("inf")), None)


def metric(service: Service, name: str) -> float:
    """The sum of what the engine publishes under this name of Loadline's plugin."""
    return sum(service.counters("main", f"loadline:{name}").values())


def total(service: Service, name: str) -> float:
    return metric(service, f"retention_{name}_total")


def answers(service: Service) -> tuple[list[str], float]:
    """The answers to many requests at once, and how many preemptions they cost."""

    def preemptions() -> float:
        return sum(service.counters("main", "vllm:num_preemptions_total").values())

    before = preemptions()
    prompts = [" ".join(WORDS[place : place + 20]) for place in range(REQUESTS)]
    with ThreadPoolExecutor(REQUESTS) as threads:
        found = [*threads.map(lambda prompt: service.complete(prompt, tokens=TOKENS), prompts)]
    return found, preemptions() - before


def shown(service: Service) -> Object:
    """What the service's status has of retention."""
    found: Object = service.now.get("status", {}).get("kvCache", {}).get("retention") or {}
    return found


def test_an_engine_that_cannot_bound_is_not_ready_with_the_reason(service: Service) -> None:
    refusal = "can't bound the KV memory of its requests: Settings"
    until(service, lambda: refusal in service.condition("Ready").get("message", ""), "the refusal is shown")
    assert service.condition("Ready")["status"] == "False"


def test_enforced_admission_saves_preemptions_and_changes_no_answer(
    cluster: ServingCluster, service: Service
) -> None:
    apply(cluster, retention=BOUNDED, arguments=LITTLE_MEMORY)
    service.until("Ready", "True")
    service.until("AdmissionPredicted", "False")
    assert metric(service, "admission_pool_blocks") == 64
    assert metric(service, "admission_in_force") == 0
    stock, preempted = answers(service)
    assert preempted >= 5
    write_policy(cluster, Loop.KV, admission="enforce")
    until(service, lambda: metric(service, "admission_in_force") == 1, "admission is in force")
    assert answers(service) == (stock, 0)
    until(service, lambda: metric(service, "admission_preemptions_total") == preempted, "each is counted")
    assert metric(service, "admission_refusals_total") > 0
    assert metric(service, "admission_off") == 0
    write_policy(cluster, Loop.KV, admission="observe")


def test_under_pressure_it_climbs_its_rungs_and_descends_afterwards(
    cluster: ServingCluster, service: Service
) -> None:
    write_policy(cluster, Loop.KV_RETENTION, **QUICK, retention="enforce")
    service.until("RetentionActive", "True", reason="NoPressure")
    with Load(service.url, service.model, prompt=PROMPT, at_once=AT_ONCE, tokens=ANSWER_TOKENS):
        until(service, lambda: kept(service) == LARGE, "the first rung is in force")
        until(service, lambda: kept(service) == SMALL, "the second rung is in force")
        until(service, lambda: total(service, "folds") > 0, "ranks have folded")
        until(service, lambda: shown(service).get("budgetTokens") == SMALL, "the status has the budget")
        ask(service, protect=[0, 40])
        assert total(service, "refused_spans") == 0
        ask(service, protect=[0, 4000])
        until(service, lambda: total(service, "refused_spans") == 1, "a span beyond the prompt is counted")
    assert total(service, "bounded_requests") > 0
    assert total(service, "freed_blocks") > 0
    until(service, lambda: kept(service) is None, "all tokens are kept again")


def test_a_loss_that_the_probe_reads_ends_all_budgets(cluster: ServingCluster, service: Service) -> None:
    with Load(service.url, service.model, prompt=PROMPT, at_once=AT_ONCE, tokens=ANSWER_TOKENS):
        until(service, lambda: kept(service) is not None, "a rung is in force")
        strict = {**QUICK, "maxRecallLossPercent": 0, "maxCanaryDriftMillinats": 0}
        write_policy(cluster, Loop.KV_RETENTION, **strict, retention="enforce")
        until(service, lambda: kept(service) is None, "the guard has ended it")
        reasons = ("RecallLost", "Drifted")
        until(service, lambda: shown(service).get("reason") in reasons, "the status says why")


def test_without_its_agent_requests_keep_all_within_the_lease(
    cluster: ServingCluster, service: Service
) -> None:
    write_policy(cluster, Loop.KV_RETENTION, **QUICK, retention="enforce")
    with Load(service.url, service.model, prompt=PROMPT, at_once=AT_ONCE, tokens=ANSWER_TOKENS):
        until(service, lambda: kept(service) is not None, "a rung is in force")
        nowhere = '{"spec":{"template":{"spec":{"nodeSelector":{"loadline.dev/nowhere":"true"}}}}}'
        cluster.bed.kubectl(
            "patch", "daemonset", "loadline-agent", "-n", names.SYSTEM_NAMESPACE, "-p", nowhere
        )
        until(service, lambda: not cluster.system_pods("agent"), "the agent is gone")
        gone_s = time.monotonic()
        until(service, lambda: kept(service) is None, "all tokens are kept again")
        assert time.monotonic() - gone_s <= LEASE_S + 5.0  # metrics are published every three seconds
    assert service.complete("Where is the harbour?")
