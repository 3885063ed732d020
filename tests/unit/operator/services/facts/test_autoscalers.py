"""Who else scales: named and not fought; a person's kubectl and what is history are neither."""

from typing import Any

import pytest

from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import DEPLOYMENTS, Key, Manifest
from loadline_operator.services.facts import autoscalers

CHAT = Key("serving", "chat")
OURS: Manifest = {"apiVersion": "loadline.dev/v1alpha1", "kind": "InferenceService", "name": "chat"}
THEIRS: Manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}


def hpa(target: Manifest, *conditions: Manifest) -> autoscalers.Autoscaler:
    return autoscalers.autoscaler(
        {
            "metadata": {"name": "auto", "namespace": "serving"},
            "spec": {"scaleTargetRef": target},
            "status": {"conditions": list(conditions)},
        }
    )


def field(manager: str, **more: Any) -> Manifest:
    owned: Manifest = {"f:spec": {"f:replicas": {}}}
    return {"manager": manager, "operation": "Update", "subresource": "scale", "fieldsV1": owned, **more}


@pytest.mark.parametrize(
    ("entry", "who"),
    [
        (field("kube-controller-manager"), "kube-controller-manager"),
        (field("keda-operator"), "keda-operator"),
        (field("kubectl"), ""),
        (field("kubectl-client-side-apply"), ""),
        (field("loadline-operator"), ""),
        (field("somebody", subresource=""), ""),
        (field("somebody", fieldsV1={"f:spec": {"f:template": {}}}), ""),
    ],
)
def test_whoever_set_replicas_by_scale_is_known(entry: Manifest, who: str) -> None:
    assert autoscalers.scaled_by({"managedFields": [entry]}) == who
    assert autoscalers.scaled_by({}) == ""


def test_an_autoscaler_is_a_rival_before_it_has_written() -> None:
    assert (
        autoscalers.rival(DEPLOYMENTS, CHAT, manager="", autoscalers=[hpa(THEIRS)])
        == "HorizontalPodAutoscaler auto"
    )


def test_what_an_autoscaler_set_that_is_gone_is_history() -> None:
    assert autoscalers.rival(DEPLOYMENTS, CHAT, manager=autoscalers.HPA_MANAGER, autoscalers=[]) == ""
    assert (
        autoscalers.rival(DEPLOYMENTS, CHAT, manager=autoscalers.HPA_MANAGER, autoscalers=[hpa(OURS)]) == ""
    )


def test_another_scaler_is_named_by_its_manager() -> None:
    assert autoscalers.rival(DEPLOYMENTS, CHAT, manager="keda-operator", autoscalers=[]) == "keda-operator"


def test_a_rival_is_told_with_the_fix() -> None:
    found = autoscalers.scaling(CHAT, {"Deployment chat": "keda-operator"}, [])
    assert (found.so, found.reason) == (False, Reason.OTHER_SCALER)
    assert found.text.startswith(
        "keda-operator scales Deployment chat, and Loadline does not interfere: set its"
    )
    assert "inferenceservices.loadline.dev/chat" in found.text


def test_the_services_own_autoscaler_is_heard_when_it_fails() -> None:
    bad = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "none"}
    found = autoscalers.scaling(CHAT, {}, [hpa(OURS, bad)])
    assert (found.reason, found.text) == (Reason.SCALER_FAILING, "HorizontalPodAutoscaler auto: none")
    assert autoscalers.scaling(CHAT, {}, [hpa(THEIRS, bad)]).so
    assert autoscalers.scaling(Key("other", "chat"), {}, [hpa(OURS, bad)]).so


def test_an_autoscaler_at_rest_is_no_failure() -> None:
    rest = {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled", "message": "zero"}
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"}
    assert autoscalers.scaling(CHAT, {}, [hpa(OURS, rest, limited)]).so


@pytest.mark.parametrize(("status", "reason"), [("True", "ScaledToZero"), ("False", "NotScaledToZero")])
def test_an_autoscaler_that_scales_to_zero_by_itself_is_no_failure(status: str, reason: str) -> None:
    """Kubernetes 1.37 lets every HPA do so, and says what it did in a condition of its own."""
    told = {"type": "ScaledToZero", "status": status, "reason": reason, "message": "m"}
    assert autoscalers.scaling(CHAT, {}, [hpa(OURS, told)]).so
