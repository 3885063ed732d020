"""The parameter file is what the fit gives, and the fit is close to the measurements."""

import pytest

from loadline_policies.models import parameters
from loadline_sim import fits


def test_the_parameter_file_is_what_the_fit_gives() -> None:
    fit, model = fits.fit(fits.runs()), parameters.load()
    assert fit.prefill_tokens == model.latencies.prefill_tokens
    assert fit.prefill_seconds == pytest.approx(model.latencies.prefill_seconds)
    assert fit.prefill_shares == pytest.approx(model.watts.prefill_shares)
    assert fit.decode_base_s == pytest.approx(model.latencies.decode_base_s)
    assert fit.decode_slot_s == pytest.approx(model.latencies.decode_slot_s)
    assert fit.decode_share == pytest.approx(model.watts.decode_share)
    assert fit.decode_share_per_slot == pytest.approx(model.watts.decode_share_per_slot)


def test_the_model_is_within_two_percent_of_the_measurements_on_average() -> None:
    errors = fits.errors(parameters.load(), fits.runs())
    assert {error.quantity: error.mape for error in errors if error.mape > 0.02} == {}


def test_the_fit_is_printed_with_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    fits.main()
    assert "decode mean watts          MAPE" in capsys.readouterr().out
