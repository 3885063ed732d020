"""Settings as the agent sends them: those of no policy change nothing, bad ones are refused by name."""

import pytest
from pydantic import JsonValue

from loadline_api.kv_settings import KvSettings, RetentionSettings
from loadline_policies.errors import InvalidInput
from loadline_policies.kv import rung_settings
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from loadline_policies.kv.victims import VictimRule

ENFORCED = KvSettings(
    admission=Config(
        admission=AdmissionMode.ENFORCE,
        estimator=EstimatorName.BUCKETS,
        victim=VictimRule.DEADLINE,
        reserve_percent=7,
        window_requests=200,
        least_requests=20,
        initial_tokens=512,
    )
)


def test_no_settings_observe() -> None:
    assert KvSettings.read({}).admission == Config()
    assert KvSettings.read({}).admission.admission is AdmissionMode.OBSERVE


def test_a_missing_key_has_the_default_of_the_policy() -> None:
    assert KvSettings.read({"admission": {"reserve_percent": 7}}).admission == Config(reserve_percent=7)


def test_keys_of_a_later_version_are_ignored() -> None:
    assert KvSettings.read({"retention": {"later": 1}, "admission": {"later": [1]}}) == KvSettings()


def test_the_policys_own_names_are_not_those_of_the_wire() -> None:
    assert KvSettings.read({"admission": {"admission": "enforce", "reservePercent": 7}}) == KvSettings()


@pytest.mark.parametrize("sent", [{}, {"retention": {}}, {"retention": {"later": 1}}], ids=str)
def test_without_a_number_of_kept_tokens_the_engine_does_as_it_was_started_to(
    sent: dict[str, JsonValue],
) -> None:
    assert KvSettings.read(sent).retention is None


def test_no_kept_tokens_is_not_null_which_keeps_all() -> None:
    found = KvSettings.read({"retention": {"kept_tokens": None, "later": 1}})
    assert found == KvSettings(retention=RetentionSettings(kept_tokens=None))
    assert found != KvSettings()


def test_a_document_of_rungs_sets_admission_as_one_of_predicted_memory_does() -> None:
    rungs = rung_settings.Config(admission=AdmissionMode.ENFORCE, reserve_percent=7, rung_tokens=(512,))
    alone = Config(admission=AdmissionMode.ENFORCE, reserve_percent=7)
    assert KvSettings(admission=rungs).encode() == KvSettings(admission=alone).encode()


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (KvSettings(), {"admission": {}}),
        (
            KvSettings(retention=RetentionSettings(kept_tokens=None)),
            {"admission": {}, "retention": {"kept_tokens": None}},
        ),
        (
            KvSettings(retention=RetentionSettings(kept_tokens=2048)),
            {"admission": {}, "retention": {"kept_tokens": 2048}},
        ),
        (
            ENFORCED,
            {
                "admission": {
                    "enforce": True,
                    "estimator": "buckets",
                    "victim": "deadline",
                    "reserve_percent": 7,
                    "window_requests": 200,
                    "least_requests": 20,
                    "initial_tokens": 512,
                }
            },
        ),
    ],
)
def test_what_the_plugin_reads_is_what_the_agent_writes(
    settings: KvSettings, sent: dict[str, JsonValue]
) -> None:
    assert settings.encode() == sent
    assert KvSettings.read(sent) == settings


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"admission": []}, "kv.admission"),
        ({"admission": None}, "kv.admission"),
        ({"admission": {"enforce": 1}}, "kv.admission.enforce"),
        ({"admission": {"enforce": "yes"}}, "kv.admission.enforce"),
        ({"admission": {"estimator": "oracle"}}, "kv.admission.estimator"),
        ({"admission": {"estimator": None}}, "kv.admission.estimator"),
        ({"admission": {"victim": "largest"}}, "kv.admission.victim"),
        ({"admission": {"reserve_percent": 51}}, "kv.admission.reserve_percent"),
        ({"admission": {"reserve_percent": True}}, "kv.admission.reserve_percent"),
        ({"admission": {"reserve_percent": 1.5}}, "kv.admission.reserve_percent"),
        ({"admission": {"window_requests": 9}}, "kv.admission.window_requests"),
        ({"admission": {"least_requests": -1}}, "kv.admission.least_requests"),
        ({"admission": {"initial_tokens": 2**40}}, "kv.admission.initial_tokens"),
        ({"retention": None}, "kv.retention"),
        ({"retention": 2048}, "kv.retention"),
        ({"retention": {"kept_tokens": 0}}, "kv.retention.kept_tokens"),
        ({"retention": {"kept_tokens": -32}}, "kv.retention.kept_tokens"),
        ({"retention": {"kept_tokens": 10_000_001}}, "kv.retention.kept_tokens"),
        ({"retention": {"kept_tokens": True}}, "kv.retention.kept_tokens"),
        ({"retention": {"kept_tokens": 2048.0}}, "kv.retention.kept_tokens"),
        ({"retention": {"kept_tokens": "2048"}}, "kv.retention.kept_tokens"),
    ],
    ids=str,
)
def test_a_setting_that_can_not_be_is_refused_by_name(settings: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        KvSettings.read(settings)
    assert refused.value.field == field
