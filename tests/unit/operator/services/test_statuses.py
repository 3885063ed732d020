"""The status of a service can be written whatever others have said: its texts show, and its fields fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.conditions import Condition, ConditionType, Reason
from loadline_api.inference_services import InferenceService, InferenceServiceStatus
from loadline_api.visible_texts import visible
from loadline_operator.services import statuses
from loadline_operator.services.attachments import Attachment
from loadline_operator.services.findings import Finding
from loadline_operator.services.health import Findings
from loadline_operator.services.policy_choices import Policies
from testbed.foreign_texts import foreign_texts

TYPES = tuple(
    type for type in ConditionType if type in statuses.OWN_CONDITIONS - {ConditionType.PLUGIN_MISSING}
)
LIMITED = Finding(so=False, reason=Reason.AS_DECLARED)

found_by_type = st.fixed_dictionaries(
    {
        type: st.builds(
            Finding,
            so=st.sampled_from([True, False, None]),
            reason=st.sampled_from(Reason),
            text=foreign_texts,
        )
        for type in TYPES
    }
)


def service(**spec: Any) -> InferenceService:
    whole = {"model": {"uri": "hf://org/m"}, **spec} if "workloadRef" not in spec else spec
    return InferenceService.parse({"metadata": {"name": "chat", "namespace": "shop"}, "spec": whole})


ATTACHED = service(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"})


def messages(status: InferenceServiceStatus) -> dict[str, str]:
    told: dict[str, str] = {one["type"]: one["message"] for one in status.to_api()["conditions"]}
    return told


def attached(findings: Findings, **told: Any) -> InferenceServiceStatus:
    attachment = Attachment(findings=findings, **told)
    return statuses.attached(ATTACHED, attachment, LIMITED, seen=(), policies=Policies())


@given(found_by_type)
def test_every_message_of_a_service_fits_and_shows(found: Findings) -> None:
    own = statuses.own(
        service(), found, (), seen=(), policies=Policies(valid=found[ConditionType.POLICY_VALID])
    )
    for status in (own, attached(found)):
        assert InferenceServiceStatus.model_validate(status.to_api()) == status
        for message in messages(status).values():
            assert len(message.encode("utf-8")) <= 1000
            assert visible(message) == message


@given(found_by_type)
def test_the_same_findings_are_the_same_status(found: Findings) -> None:
    assert attached(found) == attached(found)
    texts = messages(attached(found))
    again = {type: Finding(so=one.so, reason=one.reason, text=texts[type]) for type, one in found.items()}
    assert attached(again).conditions == attached(found).conditions


@pytest.mark.parametrize("field", ["selector", "pod_selector", "url"])
def test_what_is_longer_than_its_field_is_left_out(field: str) -> None:
    """Cut it would be another one; and a status that doesn't fit is never written."""
    findings = {ConditionType.READY: LIMITED}
    assert getattr(attached(findings, **{field: "a" * 1024}), field) == "a" * 1024
    status = attached(findings, **{field: "a" * 1025})
    assert getattr(status, field) is None
    assert isinstance(status.conditions[0], Condition)
