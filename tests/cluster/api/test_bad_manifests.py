"""
What the API server refuses of domains and capacities, with the field and the fix in its sentence.

Bad InferenceServices are in one table beside the operator's tests, since half of them are told by it.
"""

from typing import Any

import pytest

from loadline_api import names
from loadline_api.names import Resource
from testbed.agent_specs import CERTIFICATE, agent_spec
from testbed.cluster.bed import Bed
from testbed.cluster.errors import ApiError

DOMAIN: dict[str, Any] = {
    "budgetWatts": 243_200,
    "nodeSelector": {"matchLabels": {"row": "a"}},
    "hostWatts": {"max": 2600},
}
NODE: dict[str, Any] = agent_spec()


def curve(*points: tuple[int, int | None]) -> dict[str, Any]:
    listed = [{"percent": p} if s is None else {"percent": p, "seconds": s} for p, s in points]
    return {"breaker": {"curve": listed}}


def sent(
    bed: Bed, resource: Resource, spec: dict[str, Any], *, name: str = "row-a", namespace: str = "default"
) -> dict[str, Any]:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": resource.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    return bed.client.create(f"{resource.path(namespace=namespace)}?dryRun=All&fieldValidation=Strict", body)


def refusal(bed: Bed, resource: Resource, spec: dict[str, Any], *, name: str = "row-a") -> str:
    with pytest.raises(ApiError) as refused:
        sent(bed, resource, spec, name=name)
    assert refused.value.code in (400, 422)
    return str(refused.value)


BAD_DOMAINS = [
    pytest.param({"budgetWatts": 0}, ("spec.budgetWatts", "greater than or equal to 1"), id="budget-zero"),
    pytest.param(
        {"budgetWatts": -5}, ("spec.budgetWatts", "greater than or equal to 1"), id="budget-negative"
    ),
    pytest.param({"budgetWatts": 2.5}, ("spec.budgetWatts", "integer"), id="budget-a-float"),
    pytest.param({"budgetWatts": "243kW"}, ("spec.budgetWatts", "integer"), id="budget-a-text"),
    pytest.param(
        {"budgetWatts": 243_200_000_000},
        ("spec.budgetWatts", "less than or equal to"),
        id="budget-in-milliwatts",
    ),
    pytest.param(
        {"budgetWatts": 2600}, ("budgetWatts is 2600", "2600", "raise budgetWatts"), id="budget-of-a-host"
    ),
    pytest.param({"mode": "enforce"}, ("spec.mode", '"Observe", "Enforce"'), id="mode-unknown"),
    pytest.param({"parent": "row-a"}, ("spec.parent is row-a", "name another domain"), id="own-parent"),
    pytest.param({"leaseSeconds": 1}, ("spec.leaseSeconds", "greater than or equal to 2"), id="lease-short"),
    pytest.param({"leaseSeconds": 31}, ("spec.leaseSeconds", "less than or equal to 30"), id="lease-long"),
    pytest.param({"hostWatts": None}, ("nodeSelector needs hostWatts", "hostWatts.max"), id="hosts-unknown"),
    pytest.param(
        {"hostWatts": {"max": 2600, "idle": 2700}},
        ("hostWatts.idle is 2700", "2600", "lower"),
        id="idle-above-max",
    ),
    pytest.param({"nodeSelector": {"matchLabels": {}}}, ("matchLabels", "at least 1"), id="selects-all"),
    pytest.param({"budgetKilowatts": 243}, ("spec.budgetKilowatts", "unknown field"), id="unknown-key"),
    pytest.param({"policyRef": {"name": ""}}, ("spec.policyRef.name", "at least 1"), id="policy-nameless"),
    pytest.param(
        {"telemetry": {"source": "PDU"}}, ("spec.telemetry.source", '"NodeSum"'), id="source-unknown"
    ),
    pytest.param(
        curve((105, None), (130, 40), (108, 60)),
        ("percent [105, 130, 108]", "higher than the one before"),
        id="curve-falls",
    ),
    pytest.param(
        curve((105, None), (108, 60), (108, 40)),
        ("percent [105, 108, 108]", "higher than the one before"),
        id="curve-twice",
    ),
    pytest.param(
        curve((105, None), (108, 40), (130, 60)),
        ("seconds [40, 60]", "shorter than the one before"),
        id="seconds-rise",
    ),
    pytest.param(
        curve((105, None), (108, 60), (130, 60)),
        ("seconds [60, 60]", "shorter than the one before"),
        id="seconds-twice",
    ),
    pytest.param(
        curve((105, 600), (130, 40)), ("breaker.curve", "remove seconds there"), id="never-for-ever"
    ),
    pytest.param(
        curve((105, None), (108, None), (130, 40)),
        ("breaker.curve", "at every other point"),
        id="for-ever-twice",
    ),
    pytest.param(curve((105, None)), ("breaker.curve", "at least 2"), id="curve-of-one-point"),
    pytest.param(
        curve((90, None), (130, 40)), ("percent", "greater than or equal to 100"), id="curve-below-rating"
    ),
    pytest.param(
        {"breaker": {"coolingSeconds": 0}}, ("coolingSeconds", "greater than or equal to 1"), id="never-cools"
    ),
]


@pytest.mark.parametrize(("change", "words"), BAD_DOMAINS)
def test_a_bad_domain_is_refused(charted: Bed, change: dict[str, Any], words: tuple[str, ...]) -> None:
    spec = {key: value for key, value in {**DOMAIN, **change}.items() if value is not None}
    sentence = refusal(charted, names.POWER_DOMAINS, spec)
    assert [word for word in words if word not in sentence] == [], sentence


def test_a_domain_without_a_budget_is_refused(charted: Bed) -> None:
    sentence = refusal(charted, names.POWER_DOMAINS, {})
    assert "spec.budgetWatts" in sentence
    assert "Required" in sentence


def test_a_domain_too_long_for_a_label_is_refused(charted: Bed) -> None:
    sentence = refusal(charted, names.POWER_DOMAINS, DOMAIN, name="r" * 64)
    assert "metadata.name has 64 characters: shorten it to 63" in sentence


def test_the_row_of_the_demo_is_taken(charted: Bed) -> None:
    spec = {**DOMAIN, "mode": "Enforce", **curve((105, None), (108, 60), (130, 40))}
    assert sent(charted, names.POWER_DOMAINS, spec)["spec"]["breaker"]["coolingSeconds"] == 600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"certificate": "MIIB"}, ("spec.certificate", "BEGIN CERTIFICATE")),
        ({"certificate": CERTIFICATE.replace("CERT", "PRIVATE CERT")}, ("spec.certificate", "should match")),
        ({"address": "10.0.0.7"}, ("spec.address", "should match")),
        ({"address": "http://10.0.0.7:9476"}, ("spec.address", "should match")),
    ],
    ids=["bare-base64", "another-pem", "no-port", "a-url"],
)
def test_a_bad_identity_is_refused(charted: Bed, change: dict[str, Any], words: tuple[str, ...]) -> None:
    sentence = refusal(charted, names.NODE_CAPACITIES, {**NODE, **change}, name="node-00")
    assert [word for word in words if word not in sentence] == [], sentence
