"""What a template takes out of a pod goes out of it, and nothing else does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects import routers
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.engine_args import Member
from loadline_operator.services.objects.engine_pods import pod_template
from loadline_operator.services.objects.pod_templates import lay_over

Spec = dict[str, Any]


def service(**spec: Any) -> InferenceService:
    metadata = {"name": "chat", "namespace": "serving", "uid": "u"}
    return InferenceService.parse({"metadata": metadata, "spec": {"model": {"uri": "hf://org/llm"}, **spec}})


def made(
    *paths: tuple[str | None, str],
    defaults: Defaults | None = None,
    member: Member = Member.SOLE,
    parts: Spec | None = None,
    **spec: Any,
) -> Manifest:
    template = {"remove": [removal(*one) for one in paths], **(parts or {})}
    one = describe(service(template=template, **spec), defaults or Defaults())
    return pod_template(one, one.pools[0], member=member)


def removal(container: str | None, path: str) -> Spec:
    return {"path": path, **({"container": container} if container else {})}


def container(template: Manifest, name: str = "vllm") -> Manifest:
    spec = template["spec"]
    found: Manifest = next(
        one for one in [*spec["containers"], *spec.get("initContainers", ())] if one["name"] == name
    )
    return found


def test_a_gpu_goes_and_a_slice_comes() -> None:
    limits = {"resources": {"limits": {"nvidia.com/mig-1g.10gb": "1"}}}
    parts = {"spec": {"containers": [{"name": "vllm", **limits}]}}
    template = made(("vllm", "resources.limits[nvidia.com/gpu]"), parts=parts)
    assert container(template)["resources"] == limits["resources"]


def test_a_claim_takes_the_place_of_a_gpu() -> None:
    parts = {
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
        "containers": [{"name": "vllm", "resources": {"claims": [{"name": "gpu"}]}}],
    }
    template = made(("vllm", "resources.limits"), parts=parts)
    assert container(template)["resources"] == {"claims": [{"name": "gpu"}]}


def test_a_probe_goes_and_what_a_template_gives_in_its_place_stays_whole() -> None:
    probe = {"exec": {"command": ["true"]}}
    parts = {"containers": [{"name": "vllm", "startupProbe": probe}]}
    engine = container(made(("vllm", "livenessProbe"), ("vllm", "startupProbe"), parts=parts))
    assert "livenessProbe" not in engine
    assert engine["startupProbe"] == probe
    assert "readinessProbe" in engine


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ((None, "volumes[shm]"), lambda pod: all(one["name"] != "shm" for one in pod["volumes"])),
        ((None, "spec.volumes[shm]"), lambda pod: all(one["name"] != "shm" for one in pod["volumes"])),
        ((None, "securityContext"), lambda pod: "securityContext" not in pod),
        ((None, "terminationGracePeriodSeconds"), lambda pod: "terminationGracePeriodSeconds" not in pod),
        (
            ("vllm", "volumeMounts[/dev/shm/]"),
            lambda pod: "/dev/shm" not in [one["mountPath"] for one in pod["containers"][0]["volumeMounts"]],
        ),
        (
            ("vllm", "securityContext.capabilities"),
            lambda pod: "capabilities" not in pod["containers"][0]["securityContext"],
        ),
        (
            ("vllm", "readinessProbe.httpGet.path"),
            lambda pod: pod["containers"][0]["readinessProbe"]["httpGet"] == {"port": "http"},
        ),
        (("vllm", "args"), lambda pod: "args" not in pod["containers"][0]),
        (
            ("fetch-model", "terminationMessagePolicy"),
            lambda pod: "terminationMessagePolicy" not in pod["initContainers"][0],
        ),
        (
            ("fetch-model", "env[NO_COLOR]"),
            lambda pod: "NO_COLOR" not in [one["name"] for one in pod["initContainers"][0]["env"]],
        ),
        (
            ("vllm", "env[HF_HUB_OFFLINE]"),
            lambda pod: "HF_HUB_OFFLINE" not in [one["name"] for one in pod["containers"][0]["env"]],
        ),
    ],
    ids=lambda case: case[1] if isinstance(case, tuple) else "",
)
def test_any_part_of_our_pod_may_go(path: tuple[str | None, str], kept: Any) -> None:
    assert kept(made(path)["spec"])


def test_what_the_chart_adds_a_service_may_remove() -> None:
    chart = Defaults(
        engine_template={
            "metadata": {"annotations": {"example.com/mesh": "on", "example.com/other": "1"}},
            "spec": {"containers": [{"name": "logs", "image": "logs:1"}], "hostNetwork": True},
        }
    )
    template = made(
        (None, "metadata.annotations['example.com/mesh']"),
        (None, "containers[logs]"),
        (None, "hostNetwork"),
        defaults=chart,
    )
    assert template["metadata"]["annotations"] == {"example.com/other": "1"}
    assert [one["name"] for one in template["spec"]["containers"]] == ["vllm"]
    assert "hostNetwork" not in template["spec"]


def test_a_pools_template_removes_what_its_service_gave() -> None:
    parts = {"containers": [{"name": "vllm", "env": [{"name": "A", "value": "1"}]}]}
    prefill = {"replicas": 1, "template": {"remove": [removal("vllm", "env[A]")]}}
    one = describe(service(template=parts, prefill=prefill, router={}), Defaults())
    names = {
        pool.name: {each["name"] for each in container(pod_template(one, pool))["env"]} for pool in one.pools
    }
    assert "A" in names["main"]
    assert "A" not in names["prefill"]


def test_the_routers_template_removes_too() -> None:
    one = describe(service(router={"template": {"remove": [removal("router", "livenessProbe")]}}), Defaults())
    assert one.router is not None
    template = routers.deployment(one, one.router)["spec"]["template"]
    assert "livenessProbe" not in container(template, "router")
    assert "readinessProbe" in container(template, "router")


def test_both_pods_of_a_group_lose_it() -> None:
    spread = {"tensor": 2, "nodes": 2}
    for member in (Member.LEADER, Member.FOLLOWER):
        template = made(("vllm", "resources.limits[nvidia.com/gpu]"), member=member, parallelism=spread)
        assert container(template)["resources"] == {"limits": {}}


def test_a_template_that_only_removes_is_no_part_of_a_pod() -> None:
    template = made(("vllm", "livenessProbe"))
    assert "remove" not in template
    assert "remove" not in template["spec"]


def test_a_path_that_leads_nowhere_changes_nothing() -> None:
    plain = made()
    for path in ("livenessProb", "resources.limits[amd.com/gpu]", "env[A].value", "args[0]", "image.tag"):
        assert made(("vllm", path)) == plain
    assert made(("ghost", "image")) == plain


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(base=st.dictionaries(st.sampled_from(["spec", "metadata"]), ANYTHING), remove=ANYTHING)
def test_whatever_a_pod_is_a_removal_ends(base: Manifest, remove: Any) -> None:
    lay_over(base, {"remove": [{"container": "a", "path": "b.c[a]"}, {"path": "a[b].c"}, remove]})
