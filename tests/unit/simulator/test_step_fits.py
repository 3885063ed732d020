"""The file of an engine's step times is what the fit gives, and the fit is close to the measurements."""

from dataclasses import replace

import pytest

from loadline_policies.models import step_parameters
from loadline_sim import step_fits

POINTS = step_fits.points()
FIT = step_fits.fit(POINTS)


def test_the_parameter_file_is_what_the_fit_gives() -> None:
    steps = step_parameters.load().steps
    assert steps.base_s == pytest.approx(FIT.base_us / 1e6)
    assert steps.decode_s == pytest.approx(FIT.decode_us / 1e6)
    assert steps.context_s == pytest.approx(FIT.context_us / 1e6)
    assert steps.prefill_s == pytest.approx(FIT.prefill_us / 1e6)
    assert steps.pair_s == pytest.approx(FIT.pair_ps / 1e12)


def test_the_model_is_within_four_percent_of_the_measurements_on_average() -> None:
    assert FIT.decode_mape < 0.04
    assert FIT.prefill_mape < 0.04


def test_batches_of_which_a_part_waited_are_left_out() -> None:
    waited = [one for one in POINTS if one.phase == "decode" and one.decoding_share <= 0.9]
    assert [one.requests for one in waited] == [1049, 1311, 1573]
    faster = [replace(one, seconds=one.seconds / 2) if one in waited else one for one in POINTS]
    assert step_fits.fit(faster) == FIT


def test_the_fit_is_printed_with_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    step_fits.main()
    assert "decode_mape=0.03" in capsys.readouterr().out
