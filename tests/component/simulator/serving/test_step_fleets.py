"""A simulated step takes what the engine's model says of what is in it."""

from functools import partial

import numpy as np
import pytest

from loadline_policies.models import step_parameters, steps
from loadline_policies.models.steps import Batch
from loadline_sim.arrays import Ints
from loadline_sim.serving import gaps, loops, step_fleets
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.traffic.traces import Trace

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

MODEL = step_parameters.load()


def served(*rows: tuple[float, int, int], counted: Ints | None = None) -> Outcomes:
    arrival_s, prompt, output = (np.array(column) for column in zip(*rows, strict=True))
    return loops.simulate(
        Trace(arrival_s, prompt, output),
        fleet=step_fleets.fleet(MODEL, 1, most_tokens=4096),
        router=ROUTERS["token-queues"](),
        scheduler=partial(SCHEDULERS["continuous"], most_tokens=2048, gaps=counted),
    )


def seconds(**batch: float) -> float:
    return steps.step_s(MODEL.steps, Batch(**batch))  # type: ignore[arg-type]


def test_a_prompt_in_two_pieces_takes_both() -> None:
    found = served((0.0, 3000, 1))
    first = seconds(prefill_tokens=2048, prefill_pairs=steps.pairs(before=0, tokens=2048))
    second = seconds(prefill_tokens=952, prefill_pairs=steps.pairs(before=2048, tokens=952))
    assert found.ttft_s[0] == pytest.approx(first + second)


def test_answers_take_longer_with_their_contexts() -> None:
    found = served((0.0, 100, 50))
    further = [seconds(decoding=1, context_tokens=100 + number) for number in range(1, 50)]
    assert found.response_s[0] - found.ttft_s[0] == pytest.approx(sum(further))


def test_an_answer_beside_a_prompt_is_the_sum_of_both() -> None:
    prefill = {"prefill_tokens": 100, "prefill_pairs": steps.pairs(before=0, tokens=100)}
    first = seconds(**prefill)
    found = served((0.0, 100, 10), (first / 2, 100, 1))
    both = seconds(decoding=1, context_tokens=101, **prefill)
    assert found.ttft_s[1] == pytest.approx(first / 2 + both)


def test_times_between_tokens_are_those_of_the_steps() -> None:
    counted = gaps.no_gaps()
    found = served((0.0, 100, 50), (0.0, 100, 50), counted=counted)
    assert counted.sum() == 98
    further_s = found.response_s - found.ttft_s
    assert gaps.quantiles(counted, np.array([0.5]))[0] == pytest.approx(further_s.mean() / 49, rel=0.01)
