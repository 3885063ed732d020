"""Nobody has the operator do what he may not do himself: shape pods, attach to workloads, scale them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import Caller, bound_account, eventually
from testbed.cluster.bed import Bed

PATH = names.INFERENCE_SERVICES.path(namespace="default")
MODEL: dict[str, Any] = {"uri": "hf://org/model"}
TEMPLATE: dict[str, Any] = {"spec": {"serviceAccountName": "deployer"}}


def service(name: str, **spec: Any) -> dict[str, Any]:
    head = {"apiVersion": names.API_VERSION, "kind": "InferenceService"}
    return {**head, "metadata": {"name": name}, "spec": spec}


def attached(kind: str = "Deployment", version: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    return service("chat", workloadRef={"apiVersion": version, "kind": kind, "name": "llm"}, **spec)


@pytest.fixture(scope="module", autouse=True)
def in_force(tenant: Caller) -> None:
    """Wait until both policies refuse what they must."""
    eventually(lambda: tenant.refusal("POST", PATH, attached(), by="spec.workloadRef"))
    eventually(
        lambda: tenant.refusal("POST", PATH, service("chat", model=MODEL, template=TEMPLATE), by="template")
    )


@pytest.fixture(scope="module")
def owner(charted: Bed, caller: Callable[..., Caller]) -> Caller:
    """A tenant who may patch one Deployment besides."""
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["llm"], "verbs": ["patch"]},
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": rules}
    charted.apply([{**role, "metadata": {"name": "llm-owner"}}])
    charted.apply([*bound_account("owner", "llm-owner"), *bound_account("owner", "tenant")])
    return caller("owner", namespace="default")


@pytest.fixture
def theirs(admin: Caller) -> Iterator[dict[str, Any]]:
    """A service with everything, made by somebody who may."""
    scaling = {"minReplicas": 1, "maxReplicas": 4}
    yield admin.send("POST", PATH, body=attached(scaling=scaling))
    admin.send("DELETE", f"{PATH}/chat")


@pytest.mark.parametrize(
    ("kind", "version", "resource"),
    [
        ("Deployment", "apps/v1", "deployments.apps"),
        ("StatefulSet", "apps/v1", "statefulsets.apps"),
        ("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", "leaderworkersets.leaderworkerset.x-k8s.io"),
        ("InferenceService", "serving.kserve.io/v1beta1", "inferenceservices.serving.kserve.io"),
        ("LLMInferenceService", "serving.kserve.io/v1alpha2", "llminferenceservices.serving.kserve.io"),
    ],
)
def test_a_tenant_may_not_attach_to_what_he_may_not_patch(
    tenant: Caller, kind: str, version: str, resource: str
) -> None:
    sentence = tenant.refusal("POST", PATH, attached(kind, version), by="spec.workloadRef")
    assert f"may not patch {resource} in namespace default: name a workload that you may patch" in sentence


def test_its_owner_may(owner: Caller) -> None:
    eventually(lambda: owner.send("POST", PATH, body=attached(), dryRun="All"))
    owner.refusal("POST", PATH, attached("StatefulSet"), by="may not patch statefulsets.apps")


def test_what_is_attached_may_be_edited_but_not_scaled_anew(tenant: Caller, theirs: dict[str, Any]) -> None:
    def edited(**spec: Any) -> dict[str, Any]:
        return {**theirs, "spec": {**theirs["spec"], **spec}}

    tenant.send("PUT", f"{PATH}/chat", body=edited(replicas=3, slo={"ttftMs": 2000}), dryRun="All")
    wider = edited(scaling={"minReplicas": 1, "maxReplicas": 40})
    assert "may not patch deployments.apps" in tenant.refusal("PUT", f"{PATH}/chat", wider)


@pytest.mark.parametrize(
    "spec",
    [
        {"template": TEMPLATE},
        {"router": {"template": TEMPLATE}},
        {"prefill": {"replicas": 1, "template": TEMPLATE}, "router": {}},
    ],
    ids=["engine", "router", "prefill"],
)
def test_a_tenant_who_may_make_no_pods_may_not_shape_them(tenant: Caller, spec: dict[str, Any]) -> None:
    sentence = tenant.refusal("POST", PATH, service("chat", model=MODEL, **spec), by="spec.template")
    assert "may not create deployments.apps in namespace default: leave the template out" in sentence


def test_a_tenant_may_have_a_model_run(tenant: Caller) -> None:
    tenant.send(
        "POST", PATH, body=service("chat", model=MODEL, prefill={"replicas": 1}, router={}), dryRun="All"
    )


def test_an_editor_may_shape_pods(admin: Caller) -> None:
    admin.send("POST", PATH, body=service("chat", model=MODEL, template=TEMPLATE), dryRun="All")


def test_a_template_that_was_granted_may_stay(admin: Caller, tenant: Caller) -> None:
    granted = admin.send("POST", PATH, body=service("shaped", model=MODEL, template=TEMPLATE))
    scaled = {**granted, "spec": {**granted["spec"], "replicas": 2}}
    tenant.send("PUT", f"{PATH}/shaped", body=scaled, dryRun="All")
    other = {**granted, "spec": {**granted["spec"], "template": {"spec": {"hostNetwork": True}}}}
    assert "may not create deployments.apps" in tenant.refusal("PUT", f"{PATH}/shaped", other)
    admin.send("DELETE", f"{PATH}/shaped")
