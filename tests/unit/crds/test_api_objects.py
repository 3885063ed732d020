"""Objects of the API become frozen values with units in their names, and back."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from loadline_api.conditions import ConditionType, condition
from loadline_api.inference_services import InferenceService
from loadline_api.names import INFERENCE_SERVICES, NODE_CAPACITIES, POWER_DOMAINS, lease_name
from loadline_api.node_capacities import Gpu, NodeCapacity, NodeCapacityStatus
from loadline_api.power_domains import (
    CoordinatorDomainStatus,
    MembershipStatus,
    Mode,
    OperatorDomainStatus,
    PowerDomain,
    RowStatus,
)
from loadline_api.quantities import ratio
from loadline_api.reasons import Reason
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.bounds import LEASE_SECONDS
from testbed.agent_specs import agent_spec


def domain(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "PowerDomain",
        "metadata": {"name": "row-a", "generation": 2, "managedFields": [{"manager": "kubectl"}]},
        "spec": {"budgetWatts": 243_200, "hostWatts": {"max": 2600}, **spec},
    }


@pytest.mark.parametrize("seconds", LEASE_SECONDS)
def test_what_may_be_declared_is_what_a_node_takes(seconds: int) -> None:
    assert PowerDomain.parse(domain(leaseSeconds=seconds)).spec.lease_seconds == seconds
    for outside in (LEASE_SECONDS[0] - 1, LEASE_SECONDS[1] + 1):
        with pytest.raises(InvalidInput, match="leaseSeconds"):
            PowerDomain.parse(domain(leaseSeconds=outside))


def test_a_domain_is_harmless_unless_it_says_otherwise() -> None:
    row = PowerDomain.parse(domain())
    assert row.spec.mode is Mode.OBSERVE
    assert not row.enforces
    assert row.spec.lease_seconds == 4
    assert row.spec.policy_ref.name == "power-default"


def test_the_default_curve_is_the_designs() -> None:
    curve = PowerDomain.parse(domain()).spec.breaker.to_curve()
    assert curve.points == ((1.05, float("inf")), (1.13, 3600.0), (1.30, 120.0), (1.60, 30.0))
    assert curve.cooling_s == 600.0


def test_metadata_that_nobody_reads_is_ignored() -> None:
    assert PowerDomain.parse(domain()).metadata.generation == 2


def test_an_object_of_before_the_first_status_is_read() -> None:
    assert PowerDomain.parse({**domain(), "status": None}).status.members == ()


def test_a_status_of_a_newer_writer_is_read() -> None:
    newer = {**domain(), "status": {"observedWatts": 7, "moonPhase": "new"}}
    assert PowerDomain.parse(newer).status.observed_watts == 7


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"budgetWatts": 0}, ("spec.budgetWatts", "0", "greater than or equal to 1")),
        ({"budgetWatts": 1.5}, ("spec.budgetWatts", "1.5", "integer")),
        ({"mode": "Limit"}, ("spec.mode", "Limit", "'Observe' or 'Enforce'")),
    ],
)
def test_a_spec_that_cannot_be_used_names_field_value_and_fix(
    spec: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        PowerDomain.parse(domain(**spec))
    assert [word for word in words if word not in str(refused.value)] == []


def test_values_are_frozen() -> None:
    row = PowerDomain.parse(domain())
    with pytest.raises(ValidationError, match="frozen"):
        row.spec.budget_watts = 1  # type: ignore[misc]


def test_a_writer_applies_only_what_it_says() -> None:
    enforcing = condition(ConditionType.ENFORCING, so=False, reason=Reason.MODE_OBSERVE)
    written = CoordinatorDomainStatus(
        coordinator="node-07", observed_watts=0, conditions=(enforcing,)
    ).to_api()
    assert set(written) == {"coordinator", "observedWatts", "conditions"}
    assert written["observedWatts"] == 0
    assert set(OperatorDomainStatus(members=("node-07",)).to_api()) == {"members"}


def test_the_two_halves_of_a_domains_status_share_no_field() -> None:
    assert not set(MembershipStatus.model_fields) & set(RowStatus.model_fields)


def test_a_capacity_reads_back_what_it_wrote() -> None:
    status = NodeCapacityStatus(domain="row-a", gpus=(Gpu(uuid="GPU-1", min_watts=100, max_watts=400),))
    raw = {
        "metadata": {"name": "n"},
        "spec": agent_spec("[::1]:9476"),
        "status": status.to_api(),
    }
    assert NodeCapacity.parse(raw).status == status


def test_a_service_is_known_by_namespace_and_name() -> None:
    raw = {"metadata": {"name": "chat", "namespace": "prod"}, "spec": {"model": {"uri": "hf://m"}}}
    service = InferenceService.parse(raw)
    assert service.key == "prod/chat"
    assert service.spec.replicas == 1
    assert service.spec.priority == 0


def test_one_replica_takes_the_product_of_its_degrees() -> None:
    spec = {"model": {"uri": "hf://m"}, "parallelism": {"tensor": 4, "data": 2, "expert": True}}
    service = InferenceService.parse({"metadata": {"name": "moe"}, "spec": spec})
    assert service.spec.parallelism is not None
    assert service.spec.parallelism.gpus == 8


def test_ratios_are_exact() -> None:
    assert ratio("0.1") * 3 == Decimal("0.3")


def test_paths_are_those_of_the_api_server() -> None:
    assert POWER_DOMAINS.path("row-a", subresource="status") == (
        "/apis/loadline.dev/v1alpha1/powerdomains/row-a/status"
    )
    assert INFERENCE_SERVICES.path(namespace="prod") == (
        "/apis/loadline.dev/v1alpha1/namespaces/prod/inferenceservices"
    )
    assert NODE_CAPACITIES.path(namespace="ignored") == "/apis/loadline.dev/v1alpha1/nodecapacities"
    assert lease_name("row-a") == "loadline-row-a"
