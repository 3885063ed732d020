"""The scheduler of splitwise-sim gives every request the times that splitwise-sim gave it."""

import numpy as np
import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim.serving.splitwise_fleets import WEIGHT_BYTES
from loadline_sim.traffic.traces import Trace
from testbed import splitwise_runs
from testbed.splitwise_runs import Run

pytestmark = pytest.mark.slow  # the loop is compiled once a machine, which takes half a minute

SAME_S = 1e-9


@pytest.fixture(scope="module")
def conversation() -> Run:
    return splitwise_runs.run("conversation")


@pytest.mark.parametrize("name", splitwise_runs.SERVERS)
def test_each_request_has_the_peers_times(name: str) -> None:
    run = splitwise_runs.run(name)
    outcomes = run.simulate()
    assert np.abs(outcomes.ttft_s - run.ttft_s).max() < SAME_S
    assert np.abs(outcomes.response_s - run.response_s).max() < SAME_S


def test_a_run_reproduces_to_the_last_byte(conversation: Run) -> None:
    one, other = conversation.simulate(), conversation.simulate()
    assert one.ttft_s.tobytes() == other.ttft_s.tobytes()
    assert one.response_s.tobytes() == other.response_s.tobytes()


@pytest.mark.parametrize("name", ["conversation", "baseline", "overload"])
def test_at_the_end_nothing_is_held_or_owed(name: str) -> None:
    run = splitwise_runs.run(name)
    fleet = run.fleet()
    run.simulate(fleet=fleet)
    assert (fleet.servers["used_bytes"] == WEIGHT_BYTES).all()
    assert (fleet.servers["pending_tokens"] == 0).all()
    assert (fleet.servers["waiting"] == 0).all()


@pytest.mark.parametrize("until_s", [0.5, 3.0, 17.0, 40.0])
def test_at_no_time_is_more_memory_used_than_there_is(until_s: float) -> None:
    run = splitwise_runs.run("overload")
    fleet = run.fleet()
    outcomes = run.simulate(fleet=fleet, until_s=until_s)
    assert (fleet.servers["used_bytes"] <= fleet.servers["memory_bytes"]).all()
    ended_s = run.trace.arrival_s + outcomes.response_s
    assert np.nanmax(ended_s, initial=0.0) <= until_s
    assert np.isnan(outcomes.response_s[run.trace.arrival_s > until_s]).all()


@pytest.mark.parametrize(
    ("prompt", "output", "arrival_s", "told"),
    [
        (0, 5, 1.0, "prompt_tokens"),
        (5, 0, 1.0, "output_tokens"),
        (5, 5, -1.0, "arrival_s"),
        (5, 5, float("nan"), "arrival_s"),
        (10**6, 5, 1.0, "prompt_tokens"),
        (5, 10**6, 1.0, "tokens"),
    ],
)
def test_a_request_that_nobody_could_serve_is_refused_by_its_number(
    prompt: int, output: int, arrival_s: float, told: str, conversation: Run
) -> None:
    trace = Trace(np.array([0.0, arrival_s]), np.array([5, prompt]), np.array([5, output]))
    with pytest.raises(InvalidTrace, match=f"request 1: {told}"):
        conversation.simulate(trace)


def test_no_request_is_served_in_no_time(conversation: Run) -> None:
    nobody = np.array([], dtype=np.int64)
    assert conversation.simulate(Trace(nobody.astype(np.float64), nobody, nobody)).ttft_s.size == 0
