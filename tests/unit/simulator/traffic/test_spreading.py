"""Requests of a step are spread over it, in their order; others stay where they are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_sim.traffic import recordings, spreading
from loadline_sim.traffic.traces import Trace


def stepped(counts: list[int], step_s: float = 3.0) -> Trace:
    arrival_s = np.repeat(np.arange(len(counts)) * step_s, counts)
    return Trace(arrival_s, np.arange(arrival_s.size), np.arange(arrival_s.size))


@given(st.lists(st.integers(5, 9), min_size=2, max_size=20), st.integers(0, 3))
def test_each_request_stays_in_its_step_and_in_its_place(counts: list[int], seed: int) -> None:
    trace = stepped(counts)
    found = spreading.spread(trace, seed=seed)
    assert (np.floor(found.arrival_s / 3.0) == trace.arrival_s / 3.0).all()
    assert (np.diff(found.arrival_s) >= 0).all()
    assert (found.prompt_tokens == trace.prompt_tokens).all()
    assert (spreading.spread(trace, seed=seed).arrival_s == found.arrival_s).all()


def test_a_trace_without_steps_stays_as_it_is() -> None:
    chat = recordings.azure_2023()["chat"]
    assert spreading.step_of(chat) == 0.0
    assert spreading.spread(chat, seed=1) is chat


def test_a_step_is_found_where_batches_share_a_time() -> None:
    assert spreading.step_of(stepped([8, 8, 8])) == 3.0


def test_a_step_is_found_where_times_waver_and_some_are_missing() -> None:
    times_s = np.delete(np.arange(300) * 3.0, [7, 8, 100]) + np.random.default_rng(1).uniform(0, 0.003, 297)
    trace = stepped([6] * 297)
    assert spreading.step_of(replace(trace, arrival_s=np.repeat(times_s, 6))) == pytest.approx(3.0, abs=0.01)


@given(st.integers(0, 50))
def test_batches_at_times_of_their_own_stay_together(seed: int) -> None:
    times_s = np.sort(np.random.default_rng(seed).uniform(0.0, 3600.0, 100))
    trace = replace(stepped([8] * 100), arrival_s=np.repeat(times_s, 8))
    assert spreading.step_of(trace) == 0.0
    assert spreading.spread(trace, seed=1) is trace


@pytest.mark.parametrize("step_s", [-1.0, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused(step_s: float) -> None:
    with pytest.raises(InvalidInput, match="step is"):
        spreading.spread(stepped([8, 8]), seed=1, step_s=step_s)
