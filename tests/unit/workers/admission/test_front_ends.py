"""What engine cores counted, added up and published."""

from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from loadline_api import kv_counts
from loadline_api.kv_counts import AdmissionCounts
from loadline_policies.kv.predicted_memory import AdmissionMode, EstimatorName
from loadline_vllm.admission import metrics
from loadline_vllm.admission.front_ends import AdmissionFrontEnd
from loadline_vllm.admission.labels import RULES, Off

COUNTS = AdmissionCounts(
    mode=AdmissionMode.ENFORCE,
    estimator=EstimatorName.HISTORY,
    is_warm=True,
    known_requests=120,
    pool_blocks=1000,
    used_blocks=800,
    predicted_peak_blocks=1100,
    running=20,
    waiting=3,
    refusals=41,
    preemptions=2,
    preempted_tokens=900,
    mispredicted=5,
)


def answer(off: Off | None = None, *, rules: dict[str, int] | None = None, **changes: Any) -> dict[str, Any]:
    """What a core answers; the changes are in its counts."""
    counts = COUNTS.model_copy(update=changes).model_dump(mode="json")
    preemptions = dict.fromkeys(RULES, 0) | (rules or {})
    return {"off": off, "admission": counts, "preemptions": preemptions, "ignored_deadlines": 1}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    registry = CollectorRegistry()
    for kind in ("Counter", "Gauge"):
        made = getattr(prometheus_client, kind)
        monkeypatch.setattr(
            prometheus_client, kind, lambda *args, made=made, **more: made(*args, registry=registry, **more)
        )
    return registry


def total(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"loadline:admission_{name}", labels)


@pytest.mark.usefixtures("registry")
def test_a_section_has_sums_over_cores_the_fullest_and_the_fewest() -> None:
    other = answer(predicted_peak_blocks=None, used_blocks=100, is_warm=False, known_requests=7)
    section = AdmissionFrontEnd().counted([answer(), other])
    found = kv_counts.decode(section).admission
    assert found is not None
    assert (found.mode, found.is_warm) == (AdmissionMode.ENFORCE, False)
    assert (found.pool_blocks, found.refusals, found.known_requests) == (2000, 82, 7)
    assert (found.used_blocks, found.predicted_peak_blocks) == (1600, 2200)


@pytest.mark.usefixtures("registry")
def test_a_core_that_admits_as_vllm_does_counts_as_failed_beside_others() -> None:
    section = kv_counts.decode(AdmissionFrontEnd().counted([answer(), {"off": "Failure"}]))
    assert section.off == "Failure"
    assert section.admission is not None
    assert section.admission.errors == 1


@pytest.mark.usefixtures("registry")
def test_admission_is_in_force_where_all_cores_enforce_it() -> None:
    section = AdmissionFrontEnd().counted(
        [answer(), answer(Off.FAILURE, mode=AdmissionMode.OBSERVE, errors=1)]
    )
    found = kv_counts.decode(section).admission
    assert found is not None
    assert (found.mode, found.errors) == (AdmissionMode.OBSERVE, 1)


def test_an_engine_that_does_not_admit_reports_the_reason_alone(registry: CollectorRegistry) -> None:
    assert AdmissionFrontEnd().counted([{"off": "OtherScheduler"}]) == {"off": "OtherScheduler"}
    assert total(registry, "off", reason="OtherScheduler") == 1
    assert total(registry, "off", reason="Failure") == 0
    assert total(registry, "refusals_total") is None


def test_counters_grow_by_what_the_cores_counted_since(registry: CollectorRegistry) -> None:
    front_end = AdmissionFrontEnd()
    front_end.counted([answer(rules={"newest": 2})])
    front_end.counted([answer(rules={"newest": 3, "reset": 8}, refusals=50)])
    assert total(registry, "refusals_total") == 50
    assert total(registry, "preemptions_total", rule="newest") == 3
    assert total(registry, "preemptions_total", rule="reset") == 8
    assert total(registry, "preemptions_total", rule="deadline") == 0
    assert total(registry, "ignored_deadlines_total") == 1
    assert total(registry, "in_force") == 1


def test_a_peak_that_was_never_predicted_is_absent(registry: CollectorRegistry) -> None:
    AdmissionFrontEnd().counted([answer(predicted_peak_blocks=None)])
    assert total(registry, "predicted_peak_blocks") is None
    assert total(registry, "pool_blocks") == 1000


def test_each_series_is_published(registry: CollectorRegistry) -> None:
    AdmissionFrontEnd().counted([answer()])
    assert {one.name for one in registry.collect()} == {series.name for series in metrics.ALL}
