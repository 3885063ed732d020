"""Arrivals have the recorded rates and the bursts of their laws, by seed; a bad row is refused."""

import math
from dataclasses import replace
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


def whole(of: ClientWindows, seed: int = 1, *, factor: float = 1.0, until_s: float = math.inf) -> Trace:
    drawn = client_windows.arrivals(of, lengths=LENGTHS, seed=seed, factor=factor, until_s=until_s)
    pieces = list(drawn)
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


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_expected_number_stays_where_the_shape_changes(rate: float) -> None:
    smooth, bursty = 4.0, 0.1
    of = windows([[rate] * 6] * 400)
    of = replace(of, shapes=np.tile([smooth, bursty], (400, 3)))
    counts = np.array(
        [np.bincount((whole(of, seed).arrival_s // 600).astype(int), minlength=6) for seed in range(12)]
    )
    error = counts.std(axis=0) / np.sqrt(len(counts))
    assert (np.abs(counts.mean(axis=0) - rate * 600 * 400) < 4.5 * error).all()


@given(st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=15)
def test_pieces_of_any_size_have_the_same_requests(size: int, seed: int) -> None:
    of = windows([[0.05, 0.2, 0.0], [0.0, 0.1, 0.3]], 0.4)
    pieces = list(client_windows.arrivals(of, lengths=LENGTHS, seed=seed, piece_requests=size))
    assert all(len(piece) == size for piece in pieces[:-1])
    together, at_once = np.concatenate([one.arrival_s for one in pieces]), whole(of, seed)
    assert together.tobytes() == at_once.arrival_s.tobytes()
    outputs = [one.output_tokens for one in pieces]
    assert np.concatenate(outputs).tolist() == at_once.output_tokens.tolist()


def test_beyond_the_last_window_they_begin_again() -> None:
    of = windows([[1.0, 0.0]])
    times_s = whole(of, until_s=3600.0).arrival_s
    per_window = np.bincount((times_s // 600).astype(int), minlength=6)
    assert (per_window[::2] > 0).all()
    assert (per_window[1::2] == 0).all()


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
        ("0,0,1,1,Gamma,0,1\n", "row 3 param1 is '0': give a shape of 0.001 or more"),
        ("0,0,1,1,Weibull,0.001,1\n", "row 3 param1 is '0.001': give a shape of 0.01 or more"),
        ("1,0,1,1,Gamma,1,1\n", "client 1 window_start_s is '0, 2 times': give the window once"),
        ("1,1200,1,1,Gamma,1,1\n", "client 1 window_start_s is '600, 0 times': give the window once"),
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


def read(folder: Path, *rows: str) -> ClientWindows:
    path = folder / "rates.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), "utf-8")
    return client_windows.read(path)


def test_windows_count_from_the_first_of_a_file(tmp_path: Path) -> None:
    of = read(tmp_path, "1,1200,1,1,Gamma,1,1", "1,1800,2,1,Gamma,1,1")
    assert of.rates.tolist() == [[1.0, 2.0]]
    assert of.gaps == ()
    assert of.counts.tolist() == [600, 1200]


def test_a_gap_is_where_no_client_of_the_recording_sends(tmp_path: Path) -> None:
    rows = [
        f"{client},{start},{rate},1,Gamma,1,1"
        for client, rates in ((1, (2, 0, 0, 2)), (2, (0, 0, 1, 0)))
        for start, rate in zip(range(0, 2400, 600), rates, strict=True)
    ]
    of = read(tmp_path, *rows)
    assert of.gaps == (1,)
    assert of.largest(1).gaps == (1,)


def test_gaps_are_filled_from_the_same_time_of_another_week_or_day_and_named() -> None:
    rates = np.tile(np.arange(1.0, 8 * 144 + 1.0), (2, 1))
    gaps = (3, 3 * 144, 7 * 144 + 3)
    rates[:, gaps] = 0.0
    of = ClientWindows(rates, np.ones(rates.shape), np.zeros(rates.shape, bool), gaps=gaps)
    full = of.with_filled_gaps()
    assert (full.gaps, full.filled) == ((), gaps)
    assert full.rates[0, [3, 3 * 144, 7 * 144 + 3]].tolist() == [148.0, 2 * 144 + 1.0, 6 * 144 + 4.0]
    kept = np.setdiff1d(np.arange(rates.shape[1]), gaps)
    assert (full.rates[:, kept] == rates[:, kept]).all()


def test_a_gap_that_every_day_has_stays_one() -> None:
    rates = np.ones((1, 2 * 144))
    rates[:, [5, 149]] = 0.0
    of = ClientWindows(rates, np.ones(rates.shape), np.zeros(rates.shape, bool), gaps=(5, 149))
    assert of.with_filled_gaps().gaps == (5, 149)


@pytest.mark.parametrize("clients", [0, 21])
def test_more_clients_than_there_are_is_refused(clients: int) -> None:
    with pytest.raises(InvalidInput, match="choose from 1 to 20"):
        recordings.large_model_clients().largest(clients)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(InvalidInput, match="factor is"):
        whole(windows([[1.0]]), factor=factor)


def test_what_ships_is_two_weeks_of_a_large_service() -> None:
    clients = recordings.large_model_clients()
    assert clients.rates.shape == (20, 2016)
    assert clients.gaps == ()
    assert clients.largest(1).gaps == ()
    assert clients.rates.sum(axis=0).mean() * 60 == pytest.approx(0.783 * 11_751, rel=0.01)
    assert clients.largest(3).rates.shape == (3, 2016)
