"""No failure of admission reaches vLLM: the first one ends it, and is counted and logged once."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadline_api.kv_settings import KvSettings
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_vllm.admission import core_rpc
from loadline_vllm.admission.guards import AdmissionGuard, guard_of
from loadline_vllm.admission.labels import Off
from loadline_vllm.admission.scheduler_admissions import SchedulerAdmission


class Admission(SchedulerAdmission):
    """Admission in no scheduler."""

    def __init__(self) -> None: ...


def test_the_first_failure_is_the_last_call(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[SchedulerAdmission] = []

    def fail(admission: SchedulerAdmission) -> None:
        asked.append(admission)
        raise ZeroDivisionError("not today")

    guard = AdmissionGuard(Admission())
    with caplog.at_level(logging.ERROR):
        assert [guard.call(fail, None) for _ in range(3)] == [None] * 3
    assert asked == [guard.admission]
    assert (guard.off, guard.acts) == (Off.FAILURE, False)
    assert [record.getMessage() for record in caplog.records] == [
        "Loadline's admission has failed, and is off until the engine restarts: vLLM's is in force"
    ]
    assert caplog.records[0].exc_info is not None


def test_without_admission_nothing_is_called() -> None:
    guard = AdmissionGuard(off=Off.POOLING)
    assert guard.call(SchedulerAdmission.admits, True, object(), {}) is True
    assert guard.answer() == {"off": Off.POOLING}


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"LOADLINE_{name}", value)


@pytest.mark.parametrize("values", [{}, {"ADMISSION": "off"}, {"ADMISSION": "enforce", "PLUGIN": "0"}])
def test_a_scheduler_is_vllms_own_unless_admission_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    environment(monkeypatch, **values)
    guard = guard_of(object())
    assert (guard.admission, guard.off, guard.acts) == (None, None, False)


@pytest.mark.parametrize("value", ["perhaps", "observe"])
def test_what_can_not_start_is_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    environment(monkeypatch, ADMISSION=value)
    assert guard_of(object()).off is Off.FAILURE


def scheduler(**changes: Any) -> Any:
    facts: dict[str, Any] = {
        "encoder_decoder": False,
        "runner": "generate",
        "host_blocks": None,
        "managers": [object()],
        **changes,
    }
    return SimpleNamespace(
        is_encoder_decoder=facts["encoder_decoder"],
        vllm_config=SimpleNamespace(model_config=SimpleNamespace(runner_type=facts["runner"])),
        kv_cache_config=SimpleNamespace(hisparse_host_num_blocks=facts["host_blocks"]),
        kv_cache_manager=SimpleNamespace(coordinator=SimpleNamespace(single_type_managers=facts["managers"])),
    )


@pytest.mark.parametrize(
    ("of_model", "reason"),
    [
        ({"encoder_decoder": True}, Off.ENCODER_DECODER),
        ({"runner": "pooling"}, Off.POOLING),
        ({"host_blocks": 8}, Off.HOST_MEMORY),
        ({"managers": []}, Off.NO_KV_MEMORY),
    ],
)
def test_what_can_not_be_predicted_is_off_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, of_model: dict[str, Any], reason: Off
) -> None:
    environment(monkeypatch, ADMISSION="enforce")
    guard = guard_of(scheduler(**of_model))
    assert (guard.off, guard.acts) == (reason, False)
    assert reason in caplog.text


class Holding:
    """In the place of admission in a scheduler: what it was sent."""

    def __init__(self) -> None:
        self.settings: list[Config] = []

    def hold(self, settings: Config) -> None:
        self.settings.append(settings)


def core(loadline: object = None) -> Any:
    return SimpleNamespace(scheduler=SimpleNamespace(loadline=loadline))


def test_a_core_takes_its_section_and_without_one_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SchedulerAdmission, "hold", Holding.hold)
    holding = Holding()
    asked = core(AdmissionGuard(cast(SchedulerAdmission, holding)))
    enforced = KvSettings(admission=Config(admission=AdmissionMode.ENFORCE))
    assert core_rpc.hold(asked, enforced.encode()) == core_rpc.hold(asked, {}) == {}
    assert holding.settings == [enforced.admission, Config()]


def test_a_section_that_can_not_be_is_taken_for_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusing it would undo the settings of other loops."""
    monkeypatch.setattr(SchedulerAdmission, "hold", Holding.hold)
    holding = Holding()
    asked = core(AdmissionGuard(cast(SchedulerAdmission, holding)))
    assert core_rpc.hold(asked, {"admission": {"admission": "enforce", "reserve_percent": 99}}) == {}
    assert holding.settings == [Config()]
    assert "kv.admission.reserve_percent" in caplog.text


@pytest.mark.parametrize("other", [core(), core("theirs"), SimpleNamespace(scheduler=object())])
def test_a_core_with_another_scheduler_takes_all_and_counts_nothing(other: Any) -> None:
    assert core_rpc.hold(other, {"admission": {"enforce": True}}) == {}
    assert core_rpc.counts(other) == {"off": "OtherScheduler"}
