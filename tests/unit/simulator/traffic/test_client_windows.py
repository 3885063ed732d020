"""Arrivals have the recorded rates and the bursts of their laws, by seed; a bad row is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.traffic import client_windows, recordings
from loadline_sim.traffic.client_windows import ClientWindows
from loadline_sim.traffic.traces import Trace

LENGTHS = Trace(np.zeros(3), np.array([10, 20, 30]), np.array([1, 2, 3]))


def windows(rates: list[list[float]], shape: float = 1.0, *, weibull: bool = False) -> ClientWindows:
    array = np.array(rates)
    return ClientWindows(array, np.full(array.shape, shape), np.full(array.shape, weibull))


def whole(of: ClientWindows, seed: int = 1, **options: float) -> Trace:
    pieces = list(client_windows.arrivals(of, lengths=LENGTHS, seed=seed, **options))
    return Trace(
        np.concatenate([one.arrival_s for one in pieces]),
        np.concatenate([one.prompt_tokens for one in pieces]),
        np.concatenate([one.output_tokens for one in pieces]),
    )


@pytest.mark.parametrize("weibull", [False, True], ids=["gamma", "weibull"])
@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0])
def test_the_expected_number_is_the_recorded_rate(shape: float, weibull: bool) -> None:
    of = windows([[0.5, 2.0, 0.0, 1.0]] * 20, shape, weibull=weibull)
    counts = [len(whole(of, seed)) for seed in range(10)]
    error = np.std(counts) / np.sqrt(len(counts))
    assert np.mean(counts) == pytest.approx(of.rates.sum() * 600.0, abs=4 * error)


def test_no_request_comes_in_a_window_without_rate() -> None:
    times_s = whole(windows([[1.0, 0.0, 1.0]])).arrival_s
    assert not ((times_s >= 600.0) & (times_s < 1200.0)).any()


def test_a_small_shape_means_bursts() -> None:
    def dispersion(shape: float) -> float:
        times_s = whole(windows([[2.0] * 6], shape)).arrival_s
        counts = np.bincount(times_s.astype(int))
        return float(counts.var() / counts.mean())

    assert dispersion(8.0) < 0.5 < dispersion(1.0) < 1.5 < 3.0 < dispersion(0.1)


@given(st.integers(0, 5), st.floats(0.1, 3.0), st.floats(100.0, 3000.0))
@settings(max_examples=15)
def test_pieces_are_in_order_end_in_time_and_come_again_by_seed(
    seed: int, factor: float, until_s: float
) -> None:
    of = windows([[1.0, 0.2], [0.3, 0.0]], 0.5)
    trace = whole(of, seed, factor=factor, until_s=until_s)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.arrival_s.max(initial=0.0) < until_s
    assert (trace.output_tokens * 10 == trace.prompt_tokens).all()
    assert (whole(of, seed, factor=factor, until_s=until_s).arrival_s == trace.arrival_s).all()


HEADER = "client,window_start_s,rate_rps,cv,pattern,param1,param2\n"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0,0,nan,1,Gamma,1,1\n", "row 3 rate_rps is 'nan': give a number"),
        ("0,0,-1,1,Gamma,1,1\n", "row 3 rate_rps is '-1': give a number"),
        ("0,0,1,1,Pareto,1,1\n", "row 3 pattern is 'Pareto': a rate above 0 needs"),
        ("0,0,1,1,,1,1\n", "row 3 pattern is '': a rate above 0 needs"),
        ("0,0,1,1,Gamma,0,1\n", "row 3 param1 is 0.0: give a shape above 0"),
        ("0,0,1,1,Gamma,,1\n", "row 3 param1 is '': give a number"),
        ("0,17,1,1,Gamma,1,1\n", r"row 3 is \[0.0, 17.0\]: give a whole client"),
        ("0.5,0,1,1,Gamma,1,1\n", r"row 3 is \[0.5, 0.0\]: give a whole client"),
        ("7,999999600,1,1,Gamma,1,1\n", "at most 3000000 together"),
    ],
)
def test_a_bad_row_is_refused_by_its_number(tmp_path: Path, row: str, says: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"{HEADER}1,0,1,1,Gamma,1,1\n" + row, "utf-8")
    with pytest.raises(InvalidTrace, match=says):
        client_windows.read(path)


def test_a_file_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    for text, says in ((HEADER, "at least one client"), ("a,b\n", "name the columns client")):
        path.write_text(text, "utf-8")
        with pytest.raises(InvalidTrace, match=says):
            client_windows.read(path)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(InvalidInput, match="factor is"):
        whole(windows([[1.0]]), factor=factor)


def test_what_ships_is_two_weeks_of_a_large_service() -> None:
    clients = recordings.large_model_clients()
    assert clients.rates.shape == (20, 2016)
    assert clients.gaps == 0
    assert clients.rates.sum(axis=0).mean() * 60 == pytest.approx(0.783 * 11_751, rel=0.01)
    assert clients.largest(3).rates.shape == (3, 2016)
