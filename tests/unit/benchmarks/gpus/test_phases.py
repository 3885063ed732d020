"""What prefill and decode are compared with, and how."""

import pytest

from benchmarks.gpus import phases
from benchmarks.gpus.phases import DECODE, PREFILL, Point
from loadline_policies.models import parameters


def point(phase: str, *, mean: float, highest: float, predicted: float) -> Point:
    return Point(
        phase=phase, size=1, mean_watts=mean, highest_watts=highest, sm_mhz=1980, predicted_watts=predicted
    )


def test_prefill_is_compared_by_its_highest_sample_and_decode_by_its_mean() -> None:
    assert point(PREFILL, mean=600.0, highest=800.0, predicted=700.0).error_percent == pytest.approx(-12.5)
    assert point(DECODE, mean=400.0, highest=800.0, predicted=440.0).error_percent == pytest.approx(10.0)


def test_errors_of_either_sign_add_up_within_their_phase() -> None:
    points = [
        point(DECODE, mean=400.0, highest=400.0, predicted=440.0),
        point(DECODE, mean=400.0, highest=400.0, predicted=320.0),
        point(PREFILL, mean=700.0, highest=700.0, predicted=700.0),
    ]
    assert phases.mape_percent(points, DECODE) == pytest.approx(15.0)
    assert phases.mape_percent(points, PREFILL) == 0.0


def test_the_model_predicts_its_own_data_at_full_clock() -> None:
    model = parameters.load().watts
    assert phases.predicted_watts(model, PREFILL, size=8192) == pytest.approx(1.025 * model.tdp_watts)
    assert phases.predicted_watts(model, DECODE, size=16) == pytest.approx(
        (model.decode_share + 16 * model.decode_share_per_slot) * model.tdp_watts
    )
