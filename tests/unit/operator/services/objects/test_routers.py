"""The router finds the engines by their labels and takes the policy that the service names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_api.pools import RouterPolicy
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.routers import POLICIES, deployment

MAIN = ["loadline.dev/pool=main", "loadline.dev/service=chat"]
PREFILL = ["loadline.dev/pool=prefill", "loadline.dev/service=chat"]


def router(*, defaults: Defaults | None = None, **spec: Any) -> Manifest:
    whole = {"model": {"uri": "hf://org/llm"}, "router": {}, **spec}
    one = InferenceService.parse({"metadata": {"name": "chat", "namespace": "serving"}, "spec": whole})
    described = describe(one, defaults or Defaults())
    assert described.router is not None
    return deployment(described, described.router)


def pod(made: Manifest) -> Manifest:
    found: Manifest = made["spec"]["template"]["spec"]
    return found


def arguments(made: Manifest) -> list[str]:
    found: list[str] = pod(made)["containers"][0]["args"]
    return found


def after(arguments: list[str], flag: str) -> list[str]:
    """What follows a flag up to the next one."""
    rest = arguments[arguments.index(flag) + 1 :]
    return rest[: next((i for i, one in enumerate(rest) if one.startswith("--")), len(rest))]


def test_one_pool_is_found_by_one_selector() -> None:
    told = arguments(router())
    assert after(told, "--selector") == MAIN
    assert "--vllm-pd-disaggregation" not in told


def test_two_pools_are_told_apart() -> None:
    told = arguments(router(prefill={"replicas": 1}))
    assert after(told, "--prefill-selector") == PREFILL
    assert after(told, "--decode-selector") == MAIN
    assert {"--vllm-pd-disaggregation", "--kv-connector=nixl"} <= set(told)
    assert "--selector" not in told


def test_of_groups_only_leaders_are_asked() -> None:
    told = arguments(router(parallelism={"tensor": 16, "nodes": 2}))
    assert after(told, "--selector") == ["leaderworkerset.sigs.k8s.io/worker-index=0", *MAIN]


def test_it_looks_in_its_own_namespace_alone() -> None:
    assert "--service-discovery-namespace=serving" in arguments(router())


@pytest.mark.parametrize("policy", RouterPolicy)
def test_every_policy_has_a_name_of_the_router(policy: RouterPolicy) -> None:
    assert f"--policy={POLICIES[policy]}" in arguments(router(router={"policy": policy.value}))


def test_it_is_ready_when_it_has_engines_and_not_before() -> None:
    (container,) = pod(router())["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")}
    assert paths == {"readinessProbe": "/readiness", "livenessProbe": "/liveness"}


def test_it_is_seen_and_read_from_outside_its_pod() -> None:
    (container,) = pod(router())["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    told = set(container["args"])
    assert {"--host=0.0.0.0", f"--port={ports['http']}"} <= told
    assert {"--prometheus-host=0.0.0.0", f"--prometheus-port={ports['metrics']}"} <= told


def test_it_has_the_token_that_watching_pods_takes() -> None:
    made = pod(router())
    assert (made["serviceAccountName"], made["automountServiceAccountToken"]) == ("chat-router", True)


def test_its_template_is_laid_over_the_clusters() -> None:
    levels = Defaults(
        router_image="mirror/router:1",
        router_template={"nodeSelector": {"pool": "cpu"}, "priorityClassName": "low"},
    )
    made = router(defaults=levels, router={"replicas": 2, "template": {"priorityClassName": "high"}})
    assert pod(made)["containers"][0]["image"] == "mirror/router:1"
    assert pod(made)["nodeSelector"] == {"pool": "cpu"}
    assert pod(made)["priorityClassName"] == "high"
    assert made["spec"]["replicas"] == 2


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CONTAINERS = ANYTHING | st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["router", "proxy"]) | ANYTHING},
        optional={
            "args": ANYTHING,
            "command": ANYTHING,
            "ports": ANYTHING
            | st.lists(
                st.fixed_dictionaries(
                    {"containerPort": st.integers() | ANYTHING}, optional={"name": ANYTHING}
                )
            ),
        },
    ),
    max_size=3,
)


@given(containers=CONTAINERS)
def test_whatever_a_template_holds_makes_a_router(containers: Any) -> None:
    made = router(router={"template": {"containers": containers}})
    assert made["spec"]["template"]["metadata"]["labels"]["loadline.dev/pool"] == "router"
