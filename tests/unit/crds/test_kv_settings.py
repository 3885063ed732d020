"""Settings as the agent sends them: those of no policy change nothing, bad ones are refused by name."""

import pytest
from pydantic import JsonValue

from loadline_api.kv_settings import KvSettings
from loadline_policies.errors import InvalidInput
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


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (KvSettings(), {"admission": {}}),
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
    ],
    ids=str,
)
def test_a_setting_that_can_not_be_is_refused_by_name(settings: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        KvSettings.read(settings)
    assert refused.value.field == field
