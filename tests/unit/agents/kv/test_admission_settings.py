"""What an engine's scheduler gets of spec and policy, and why it goes by the policy or doesn't."""

from typing import Any

import pytest

from loadline_agent.kv.admission_settings import ESTIMATORS, VICTIMS, reason, settings
from loadline_api.kv_cache import Admission, AdmissionMode, Estimator, Victim
from loadline_api.kv_counts import AdmissionCounts, KvCounts
from loadline_api.kv_settings import KvSettings
from loadline_api.reasons import Reason
from loadline_policies.documents import ServiceDocument, built_in, parse
from loadline_policies.kv.predicted_memory import AdmissionMode as PolicyMode
from loadline_policies.kv.predicted_memory import Config, EstimatorName
from loadline_policies.kv.victims import VictimRule
from loadline_policies.loops import Loop

OFF, OBSERVE, ENFORCE = AdmissionMode
KEEP_ALL = built_in(Loop.KV)


def document(**given: Any) -> ServiceDocument:
    text = f"schema: policies.loadline.dev/v1alpha1\nloop: kv\npolicy: predicted-memory\nsettings: {given}\n"
    found = parse(text, Loop.KV)
    assert isinstance(found, ServiceDocument)
    return found


ENFORCING, OBSERVING = document(admission="enforce"), document()


def sent(admission: Admission, chosen: ServiceDocument = ENFORCING) -> Config:
    """The settings as the plugin reads them."""
    return KvSettings.read(settings(admission, chosen)).admission


def counts(**changes: Any) -> AdmissionCounts:
    numbers = dict.fromkeys(
        ("known_requests", "pool_blocks", "used_blocks", "running", "waiting", "refusals", "preemptions"), 0
    )
    told = {"mode": "observe", "estimator": "history", "is_warm": True, "preempted_tokens": 0}
    return AdmissionCounts.model_validate({**numbers, **told, "mispredicted": 0, **changes})


@pytest.mark.parametrize("chosen", [ENFORCING, OBSERVING, KEEP_ALL], ids=["enforce", "observe", "keep-all"])
@pytest.mark.parametrize("mode", AdmissionMode)
def test_requests_wait_only_where_spec_and_policy_enforce(
    mode: AdmissionMode, chosen: ServiceDocument
) -> None:
    both = mode is ENFORCE and chosen is ENFORCING
    expected = PolicyMode.ENFORCE if both else PolicyMode.OBSERVE
    assert sent(Admission(mode=mode), chosen).admission is expected


def test_what_the_spec_leaves_out_is_the_policys() -> None:
    chosen = document(admission="enforce", estimator="buckets", victim="deadline", windowRequests=200)
    assert sent(Admission(mode=ENFORCE), chosen) == chosen.config


def test_what_the_spec_sets_stands_in_place_of_the_policys() -> None:
    chosen = document(admission="enforce", estimator="buckets", reservePercent=20, leastRequests=9)
    own = Admission(mode=ENFORCE, estimator=Estimator.WORST_CASE, victim=Victim.NEWEST, reserve_percent=0)
    found = sent(own, chosen)
    assert (found.estimator, found.victim, found.reserve_percent) == (
        EstimatorName.WORST_CASE,
        VictimRule.NEWEST,
        0,
    )
    assert found.least_requests == 9, "no field of the spec is for this one"


@pytest.mark.parametrize(
    ("mode", "chosen"), [(OFF, ENFORCING), (ENFORCE, KEEP_ALL)], ids=["not-asked", "keep-all"]
)
def test_without_admission_the_plugin_gets_its_no_op_settings(
    mode: AdmissionMode, chosen: ServiceDocument
) -> None:
    assert settings(Admission(mode=mode, reserve_percent=9), chosen) == {}


def test_each_word_of_the_spec_is_one_of_the_policys() -> None:
    assert {ESTIMATORS[one] for one in Estimator} == set(EstimatorName)
    assert {VICTIMS[one] for one in Victim} == set(VictimRule)


@pytest.mark.parametrize(
    ("mode", "chosen", "told", "expected"),
    [
        (ENFORCE, ENFORCING, {"mode": "enforce"}, Reason.PREDICTING),
        (ENFORCE, ENFORCING, {"mode": "enforce", "is_warm": False}, Reason.FEW_LENGTHS),
        (ENFORCE, ENFORCING, {"mode": "observe"}, Reason.OBSERVING),
        (ENFORCE, ENFORCING, {"mode": "observe", "errors": 1}, Reason.PLUGIN_FAILED),
        (ENFORCE, OBSERVING, {"mode": "observe"}, Reason.POLICY_OBSERVES),
        (ENFORCE, KEEP_ALL, {"mode": "observe"}, Reason.POLICY_OBSERVES),
        (OBSERVE, ENFORCING, {"mode": "observe"}, Reason.NOT_ALLOWED),
        (OBSERVE, ENFORCING, {"mode": "observe", "errors": 1}, Reason.PLUGIN_FAILED),
        (OBSERVE, OBSERVING, {"mode": "enforce"}, Reason.PREDICTING),
        (OFF, ENFORCING, {"mode": "observe"}, Reason.NOT_ALLOWED),
        (ENFORCE, ENFORCING, None, Reason.ADMISSION_OFF),
        (ENFORCE, ENFORCING, "OtherScheduler", Reason.ADMISSION_OFF),
        (ENFORCE, ENFORCING, "a word of a later version", Reason.ADMISSION_OFF),
        (ENFORCE, ENFORCING, "Failure", Reason.PLUGIN_FAILED),
    ],
    ids=str,
)
def test_the_reason_is_what_the_engine_reports_and_then_what_spec_and_policy_say(
    mode: AdmissionMode, chosen: ServiceDocument, told: dict[str, Any] | str | None, expected: Reason
) -> None:
    """`told` are counts, or why there are none."""
    found = KvCounts(admission=counts(**told)) if isinstance(told, dict) else KvCounts(off=told)
    assert reason(Admission(mode=mode), chosen, found) is expected
