"""The chart's admission policies are sound: known to the server, typed, and in force."""

import pytest

from loadline_api.conditions import COORDINATOR_DOMAIN_CONDITIONS
from loadline_api.power_domains import MembershipStatus
from testbed import charts
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
NAMES = [
    "loadline-domain-deletions",
    "loadline-domain-holder",
    "loadline-domain-leases",
    "loadline-domain-status",
    "loadline-lease-holders",
    "loadline-node-identity",
    "loadline-service-attachments",
    "loadline-service-priority",
    "loadline-service-templates",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_server_finds_no_fault_with_a_policy(charted: Bed, name: str) -> None:
    def checked() -> None:
        policy = charted.client.get(f"{POLICIES}/{name}")
        assert policy.get("status", {}).get("observedGeneration") == policy["metadata"]["generation"]
        assert policy["status"]["typeChecking"].get("expressionWarnings", []) == []

    eventually(checked)


def test_no_policy_is_left_out_of_these_tests() -> None:
    shipped = [one for one in charts.rendered() if one["kind"] == "ValidatingAdmissionPolicy"]
    assert sorted(one["metadata"]["name"] for one in shipped) == NAMES


def test_every_policy_is_bound_and_denies() -> None:
    bindings = [one for one in charts.rendered() if one["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert sorted(one["spec"]["policyName"] for one in bindings) == NAMES
    assert all(one["spec"]["validationActions"] == ["Deny"] for one in bindings)


def test_the_operators_half_of_a_domain_is_guarded_whole() -> None:
    (policy,) = (
        one
        for one in charts.rendered()
        if one["metadata"]["name"] == "loadline-domain-status" and one["kind"] == "ValidatingAdmissionPolicy"
    )
    text = str(policy["spec"])
    fields = [info.alias for info in MembershipStatus.model_fields.values()]
    assert [field for field in fields if f"object.?status.?{field} ==" not in text] == []
    types = ", ".join(sorted(COORDINATOR_DOMAIN_CONDITIONS))
    assert f"apply only {types}" in text
