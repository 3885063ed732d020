"""Requests go to the server with the least estimated work, in one piece or in many."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_sim.arrays import Floats, Ints
from loadline_sim.traffic import least_work
from loadline_sim.traffic.least_work import Work

SHARE = 0.25


def plainly(arrival_s: Floats, prefill_s: Floats, decode_s: Floats, *, servers: int) -> list[int]:
    """The same with lists, one request at a time."""
    ends, answers = [0.0] * servers, [0.0] * servers
    under_way: list[tuple[float, int, float]] = []
    chosen = []
    for now, prompt_s, answer_s in zip(
        arrival_s.tolist(), prefill_s.tolist(), decode_s.tolist(), strict=True
    ):
        while under_way and under_way[0][0] <= now:
            _, done_on, spent = heapq.heappop(under_way)
            answers[done_on] -= spent
        works = [round(max(end - now, 0.0) + answer, 6) for end, answer in zip(ends, answers, strict=True)]
        best = min(range(servers), key=lambda one: (works[one], ends[one], one))
        ends[best] = max(ends[best], now) + prompt_s
        answers[best] += SHARE * answer_s
        heapq.heappush(under_way, (ends[best] + answer_s, best, SHARE * answer_s))
        chosen.append(best)
    return chosen


def drawn(seed: int, count: int) -> tuple[Floats, Floats, Floats]:
    """Arrivals, prompts and answers, in seconds."""
    dice = np.random.default_rng(seed)
    return np.cumsum(dice.exponential(0.1, count)), dice.exponential(0.2, count), dice.exponential(2.0, count)


@given(seed=st.integers(0, 1000), count=st.integers(0, 60), servers=st.integers(1, 5))
def test_choices_are_those_of_the_rule_applied_by_hand(seed: int, count: int, servers: int) -> None:
    arrival_s, prefill_s, decode_s = drawn(seed, count)
    chosen, _ = least_work.routed(
        Work.none(servers), arrival_s, prefill_s=prefill_s, decode_s=decode_s, share=SHARE
    )
    assert chosen.tolist() == plainly(arrival_s, prefill_s, decode_s, servers=servers)


@pytest.mark.parametrize("cut", [0, 1, 150, 300])
def test_pieces_are_routed_as_the_whole(cut: int) -> None:
    arrival_s, prefill_s, decode_s = drawn(1, 300)
    whole, _ = least_work.routed(Work.none(4), arrival_s, prefill_s=prefill_s, decode_s=decode_s, share=SHARE)
    work, parts, origin_s = Work.none(4), list[Ints](), 0.0
    for piece in (slice(0, cut), slice(cut, None)):
        chosen, work = least_work.routed(
            work,
            arrival_s[piece] - origin_s,
            prefill_s=prefill_s[piece],
            decode_s=decode_s[piece],
            share=SHARE,
        )
        work, origin_s = work.earlier(10.0), origin_s + 10.0
        parts.append(chosen)
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_what_is_under_way_is_not_changed_by_routing_from_it() -> None:
    arrival_s, prefill_s, decode_s = drawn(2, 20)
    work = Work.none(2)
    least_work.routed(work, arrival_s, prefill_s=prefill_s, decode_s=decode_s, share=SHARE)
    assert not work.answers_s.any()
