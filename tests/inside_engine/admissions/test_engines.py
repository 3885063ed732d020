"""
A simulated engine serves what it is given: each token once, in order, however often a request is preempted.

vLLM's scheduler is the real one. Its pools are so small that it has to preempt.
"""

from collections.abc import Callable

import pytest

from benchmarks.admissions.engines import SimulatedEngine, Stalled
from benchmarks.admissions.goodputs import Served
from benchmarks.admissions.schedulers import Arm
from benchmarks.admissions.workloads import Arrival
from loadline_policies.models import step_parameters
from loadline_policies.models.steps import Batch, pairs, step_s

pytestmark = pytest.mark.filterwarnings("ignore")  # vLLM's own

STEPS = step_parameters.load().steps
PROMPT, OUTPUT = 100, 60

Made = Callable[..., SimulatedEngine]


def arrivals(count: int, *, every_s: float = 0.0, output_tokens: int = OUTPUT) -> list[Arrival]:
    return [
        Arrival(
            request_id=str(number),
            arrived_s=number * every_s,
            prompt_tokens=PROMPT,
            output_tokens=output_tokens,
            most_tokens=500,
        )
        for number in range(count)
    ]


def output_tokens(served: list[Served]) -> list[int]:
    return [one.output_tokens for one in served]


def test_no_token_is_lost_or_made_twice(engine: Made, arm: Arm) -> None:
    given = arrivals(30)
    tight = engine(given, blocks=60, arm=arm)
    assert output_tokens(tight.run()) == [OUTPUT] * 30
    assert tight.work.computed_tokens == (
        30 * (PROMPT + OUTPUT - 1) + tight.work.recomputed_tokens + tight.work.surplus_tokens
    )


def test_a_tight_pool_preempts_and_a_large_one_does_not(engine: Made) -> None:
    tight, roomy = engine(arrivals(30), blocks=60), engine(arrivals(30), blocks=1000)
    preempted = sum(one.preemptions for one in tight.run())
    assert preempted == tight.work.preemptions > 0
    assert tight.work.recomputed_tokens > 0
    assert sum(one.preemptions for one in roomy.run()) == roomy.work.recomputed_tokens == 0


def test_the_clock_goes_forward_and_no_token_comes_before_its_request(engine: Made, arm: Arm) -> None:
    given = arrivals(20, every_s=0.05)
    for one in engine(given, blocks=60, arm=arm).run():
        assert one.arrived_s < one.first_s < one.last_s
        assert 0 < one.longest_gap_s <= one.last_s - one.first_s


def test_the_engine_waits_for_requests_that_come_later(engine: Made) -> None:
    first, second = engine(arrivals(2, every_s=100.0), blocks=100).run()
    assert second.first_s - second.arrived_s == pytest.approx(first.first_s)
    assert second.first_s > 100.0


def test_one_request_alone_takes_the_model_s_time(engine: Made) -> None:
    (one,) = engine(arrivals(1), blocks=100).run()
    prompt = Batch(prefill_tokens=PROMPT, prefill_pairs=pairs(before=0, tokens=PROMPT))
    tokens = [step_s(STEPS, Batch(decoding=1, context_tokens=PROMPT + at)) for at in range(1, OUTPUT)]
    assert one.first_s == pytest.approx(step_s(STEPS, prompt))
    assert one.last_s == pytest.approx(step_s(STEPS, prompt) + sum(tokens))


def test_an_answer_that_reaches_its_limit_ends_there(engine: Made) -> None:
    assert output_tokens(engine(arrivals(1, output_tokens=501), blocks=100).run()) == [500]


def test_equal_runs_have_equal_times(engine: Made, arm: Arm) -> None:
    runs = [engine(arrivals(20), blocks=60, arm=arm).run() for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_prompt_that_never_fits_is_noticed(engine: Made) -> None:
    with pytest.raises(Stalled):
        engine(arrivals(1), blocks=5).run()
