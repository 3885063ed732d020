"""Workloads: a seed fixes the requests, a rate only stretches the gaps between them."""

import numpy as np
import pytest

from benchmarks.admissions.workloads import WORKLOADS, Arrival, Workload


@pytest.fixture(params=WORKLOADS)
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


def sizes(arrivals: list[Arrival]) -> list[tuple[int, int]]:
    return [(one.prompt_tokens, one.output_tokens) for one in arrivals]


def test_a_rate_changes_the_gaps_alone(workload: Workload) -> None:
    slow, fast = (workload.drawn(rate=rate, seed=3) for rate in (2.0, 4.0))
    assert sizes(slow) == sizes(fast)
    assert [one.arrived_s for one in slow] == pytest.approx([2 * one.arrived_s for one in fast])


def test_requests_come_at_the_rate_that_is_asked_for(workload: Workload) -> None:
    arrivals = workload.drawn(rate=5.0, seed=1)
    assert len(arrivals) == workload.requests
    assert (len(arrivals) - 1) / arrivals[-1].arrived_s == pytest.approx(5.0)
    assert [one.arrived_s for one in arrivals] == sorted(one.arrived_s for one in arrivals)


def test_another_seed_draws_other_requests(workload: Workload) -> None:
    assert sizes(workload.drawn(rate=5.0, seed=1)) != sizes(workload.drawn(rate=5.0, seed=2))


def test_no_answer_is_longer_than_its_request_allows(workload: Workload) -> None:
    for one in workload.drawn(rate=5.0, seed=1):
        assert 1 <= one.output_tokens <= one.most_tokens
        assert len(one.prompt()) == one.prompt_tokens >= 1


def test_no_prompt_begins_like_another_for_a_whole_block(workload: Workload) -> None:
    prompts = [
        tuple(one.prompt()[:16]) for one in workload.drawn(rate=5.0, seed=1) if one.prompt_tokens >= 16
    ]
    assert len(set(prompts)) == len(prompts)


def test_an_azure_trace_keeps_its_bursts() -> None:
    """Counts by the second vary more than those of a Poisson process, whose variance is its mean."""
    arrivals = WORKLOADS["azure code"].drawn(rate=2.5, seed=1)
    counts = np.bincount([int(one.arrived_s) for one in arrivals])
    assert counts.var() > 2 * counts.mean()


def test_the_mix_s_tasks_have_an_instruction_each() -> None:
    arrivals = WORKLOADS["bimodal"].drawn(rate=5.0, seed=1)
    longest = {task: max(one.output_tokens for one in arrivals if one.task == task) for task in (0, 1)}
    assert longest[0] < 100 < longest[1]
    assert len({one.prompt()[0] for one in arrivals}) == 2
