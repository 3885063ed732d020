"""What the loops read restarts nothing, and a pool that goes takes no other one with it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import LEADER_WORKER_SETS, Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import OPTIONAL_KINDS, wanted

Spec = dict[str, Any]

TEMPLATES = st.sampled_from(
    [
        {"nodeSelector": {"gpu": "h200"}},
        {"spec": {"containers": [{"name": "vllm", "env": [{"name": "A", "value": "1"}]}]}},
    ]
)
SPREADS = st.fixed_dictionaries(
    {}, optional={"tensor": st.sampled_from([1, 2, 8]), "nodes": st.just(1), "expert": st.booleans()}
)
COLD = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            [{"uri": "hf://org/llm@v1"}, {"uri": "pvc://weights/llm", "name": "talk"}, {"uri": "file:///llm"}]
        )
    },
    optional={
        "parallelism": SPREADS | st.just({"tensor": 8, "nodes": 2}),
        "engine": st.fixed_dictionaries(
            {}, optional={"maxModelLength": st.just(4096), "arguments": st.just(["--enforce-eager"])}
        ),
        "template": TEMPLATES,
        "rolloutStrategy": st.just({"maxSurge": 0, "maxUnavailable": 1}),
    },
)
HOT = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 20),
        "priority": st.integers(-10, 10),
        "slo": st.just({"ttftMs": 500, "itlMs": 20}),
        "power": st.just({"maxWatts": 400}),
        "scaling": st.just({"maxReplicas": 4}),
    },
)
KV = st.fixed_dictionaries(
    {},
    optional={
        "policyRef": st.just({"name": "bulk"}),
        "admission": st.fixed_dictionaries(
            {},
            optional={
                "estimator": st.just("Buckets"),
                "victim": st.just("Newest"),
                "reservePercent": st.integers(0, 50),
            },
        ),
        "retention": st.fixed_dictionaries(
            {},
            optional={
                "policyRef": st.just({"name": "rungs"}),
                "qualityClass": st.sampled_from(["Full", "High", "Standard"]),
            },
        ),
    },
)
DTYPES = st.sampled_from(["auto", "fp8"])
MODES = st.sampled_from(["Off", "Observe", "Enforce"])
EXPERTS = st.fixed_dictionaries(
    {},
    optional={
        "policyRef": st.just({"name": "careful"}),
        "gamma": st.just({"minPercent": 150}),
        "strategy": st.just("Reroute"),
        "minTokens": st.just(512),
        "guard": st.just({"maxDroppedPercent": 5}),
    },
)
SIZES = st.one_of(
    st.builds(lambda n: {"replicas": n}, st.integers(0, 9)), st.sampled_from([{"perDecode": "0.5"}])
)


def templates(spec: Spec) -> dict[str, Manifest]:
    """The pod templates of a service's workloads, by name and part."""
    metadata = {"name": "chat", "namespace": "serving", "uid": "u"}
    one = InferenceService.parse({"metadata": metadata, "spec": spec})
    found: dict[str, Manifest] = {}
    described = describe(one, Defaults(model_cache="/var/lib/models", agent_url="http://agents:9479"))
    for each in wanted(described, offered=frozenset(OPTIONAL_KINDS)):
        whole = each.manifest.get("spec", {})
        if each.kind is LEADER_WORKER_SETS:
            parts = whole["leaderWorkerTemplate"]
            found[f"{each.key.name} leader"] = parts["leaderTemplate"]
            found[f"{each.key.name} worker"] = parts["workerTemplate"]
        elif "template" in whole:
            found[each.key.name] = whole["template"]
    return found


def with_kv(spec: Spec, dtype: str, modes: tuple[str, str], hot: Spec) -> Spec:
    """The spec with a KV cache of which type and modes are cold and all else is hot."""
    parts = {
        part: {"mode": mode, **hot.get(part, {})}
        for part, mode in zip(("admission", "retention"), modes, strict=True)
    }
    return {**spec, "kvCache": {"dtype": dtype, **hot, **parts}}


@given(
    cold=COLD,
    dtype=DTYPES,
    split=st.booleans(),
    mode=MODES,
    kv_modes=st.tuples(MODES, MODES),
    before=st.tuples(HOT, EXPERTS, KV, SIZES, st.integers(1, 3)),
    after=st.tuples(HOT, EXPERTS, KV, SIZES, st.integers(1, 3)),
)
def test_hot_settings_never_change_a_pod(
    cold: Spec,
    dtype: str,
    split: bool,
    mode: str,
    kv_modes: tuple[str, str],
    before: tuple[Spec, Spec, Spec, Spec, int],
    after: tuple[Spec, Spec, Spec, Spec, int],
) -> None:
    made = []
    for hot, experts, kv, size, routers in (before, after):
        pools = {"prefill": size, "router": {"replicas": routers}} if split else {}
        asked = {"experts": {"mode": mode, **experts}}
        made.append(templates({**with_kv(cold, dtype, kv_modes, kv), **hot, **pools, **asked}))
    assert made[0] == made[1]


@given(cold=COLD)
def test_a_router_comes_and_goes_without_the_engines(cold: Spec) -> None:
    alone, routed = templates(cold), templates({**cold, "router": {}})
    assert routed.keys() - alone.keys() == {"chat-router"}
    assert {name: routed[name] for name in alone} == alone


@given(cold=COLD, policy=st.sampled_from(["RoundRobin", "Random"]))
def test_what_a_router_is_told_restarts_the_router_alone(cold: Spec, policy: str) -> None:
    plain, changed = templates({**cold, "router": {}}), templates({**cold, "router": {"policy": policy}})
    assert {name for name in plain if plain[name] != changed[name]} == {"chat-router"}


@given(cold=COLD)
def test_what_prefill_is_told_restarts_prefill_alone(cold: Spec) -> None:
    split = {**cold, "router": {}}
    before = templates({**split, "prefill": {"replicas": 1}})
    after = templates({**split, "prefill": {"replicas": 1, "template": {"hostname": "a"}}})
    assert {name.split()[0] for name in before if before[name] != after[name]} == {"chat-prefill"}


def test_a_cold_setting_does_change_the_pods() -> None:
    plain = {"model": {"uri": "hf://org/llm"}}
    for change in (
        {"kvCache": {"dtype": "fp8"}},
        {"engine": {"maxSequences": 8}},
        {"template": {"a": "b"}},
        {"experts": {"mode": "Observe"}},
        {"kvCache": {"admission": {"mode": "Observe"}}},
        {"kvCache": {"retention": {"mode": "Observe"}}},
    ):
        assert templates(plain) != templates({**plain, **change})


@given(cold=COLD, experts=EXPERTS)
def test_experts_that_no_mode_was_asked_for_change_no_pod(cold: Spec, experts: Spec) -> None:
    """Services of earlier versions have a policyRef there, and an upgrade restarts nothing."""
    assert templates({**cold, "experts": experts}) == templates(cold)


@given(cold=COLD, kv=KV)
def test_a_kv_cache_that_no_mode_was_asked_for_changes_no_pod(cold: Spec, kv: Spec) -> None:
    """Services of earlier versions have a policyRef there, and an upgrade restarts nothing."""
    assert templates({**cold, "kvCache": kv}) == templates(cold)
