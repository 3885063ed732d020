"""
The policy of rungs in a closed loop, in virtual time.

An engine on paper: requests arrive by chance with a prompt and an answer, wait in order until their prompt
fits into the pool, and produce tokens at one pace. A request keeps the budget that it arrived with, so it
holds min(length, M + B) tokens. When the pool is full the newest loses its memory and starts again. The
policy gets what a plugin would count, every five seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from loadline_policies.kv.engine_memories import (
    Allowance,
    CanaryReadings,
    EngineMemory,
    QualityClass,
    Reason,
    Retained,
)
from loadline_policies.kv.memory_rungs import decide
from loadline_policies.kv.rung_settings import Config, RetentionMode
from loadline_policies.kv.rung_states import State

POOL_TOKENS, BUFFER_TOKENS, TOKENS_PER_S, EVERY_S = 200_000, 256, 25, 5
TOKENS_PER_STEP = TOKENS_PER_S * EVERY_S
HOUR = 3600
CONFIG = Config(retention=RetentionMode.ENFORCE)
GOOD = CanaryReadings(recall_loss_fraction=0.0, drift_nats=0.0)
PERCENT_PER_ARRIVAL = 89.0
"""How full the pool is by one arrival a second without budgets. Measured with this engine."""


@dataclass(slots=True)
class Request:
    prompt_tokens: int
    answer_tokens: int
    kept_tokens: int | None
    produced_tokens: int = 0

    @property
    def length(self) -> int:
        return self.prompt_tokens + self.produced_tokens

    @property
    def held_tokens(self) -> int:
        return self.length if self.kept_tokens is None else min(self.length, self.kept_tokens + BUFFER_TOKENS)


@dataclass(slots=True)
class PaperEngine:
    random: Random
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    preemptions: int = 0

    @property
    def used_tokens(self) -> int:
        return sum(one.held_tokens for one in self.running)

    def step(self, *, arrivals: float, kept_tokens: int | None) -> None:
        arrivals, rest = divmod(arrivals, 1.0)
        for _ in range(int(arrivals) + (self.random.random() < rest)):
            prompt, answer = self.random.randint(600, 2800), self.random.randint(300, 3000)
            self.waiting.append(Request(prompt, answer, kept_tokens))
        self._start()
        for one in self.running:
            one.produced_tokens += TOKENS_PER_STEP
        self.running = [one for one in self.running if one.produced_tokens < one.answer_tokens]
        while self.used_tokens > POOL_TOKENS:
            victim = self.running.pop()
            victim.produced_tokens = 0
            self.waiting.appendleft(victim)
            self.preemptions += 1
        self._start()

    def _start(self) -> None:
        free = POOL_TOKENS - self.used_tokens
        while self.waiting and self.waiting[0].held_tokens <= free:
            free -= self.waiting[0].held_tokens
            self.running.append(self.waiting.popleft())

    def memory(self, *, tells_saved: bool) -> EngineMemory:
        saved = sum(one.length - one.held_tokens for one in self.running)
        return EngineMemory(
            used_percent=100.0 * self.used_tokens / POOL_TOKENS,
            saved_percent=100.0 * saved / POOL_TOKENS if tells_saved else None,
            bounded_requests=sum(one.kept_tokens is not None for one in self.running),
            pool_tokens=POOL_TOKENS,
            preemptions=self.preemptions,
            prefix_hit_percent=2.0,
            kv_bits=16,
            canary=GOOD,
            baseline_known=True,
            allowance=Allowance(enforce=True, able=True, quality_class=QualityClass.STANDARD),
        )


@dataclass(frozen=True, slots=True)
class Played:
    """What was asked every five seconds, and the preemptions until then."""

    asked: list[Retained]
    preemptions: list[int]

    def kept(self, start_s: int, end_s: int) -> set[int | None]:
        return {one.kept_tokens for one in self.asked[start_s // EVERY_S : end_s // EVERY_S]}

    def moves(self, start_s: int, end_s: int) -> int:
        asked = self.asked[start_s // EVERY_S : end_s // EVERY_S]
        return sum(one.kept_tokens != other.kept_tokens for one, other in pairwise(asked))

    def preempted(self, start_s: int, end_s: int) -> int:
        return self.preemptions[end_s // EVERY_S - 1] - self.preemptions[start_s // EVERY_S]


def play(
    demand_percent: Callable[[int], float],
    *,
    seconds: int,
    tells_saved: bool = True,
    seed: int = 7,
    bounds: bool = True,
) -> Played:
    """The demand is how full the pool would be without budgets, in the mean, if it were large enough."""
    engine, state, asked = PaperEngine(Random(seed)), State(), Retained()
    played = Played([], [])
    for second in range(0, seconds, EVERY_S):
        arrivals = EVERY_S * demand_percent(second) / PERCENT_PER_ARRIVAL
        engine.step(arrivals=arrivals, kept_tokens=asked.kept_tokens if bounds else None)
        asked, state = decide(engine.memory(tells_saved=tells_saved), state, CONFIG, float(second))
        played.asked.append(asked)
        played.preemptions.append(engine.preemptions)
    return played


def test_it_climbs_under_pressure_and_descends_after_it_by_itself() -> None:
    played = play(lambda second: 160.0 if second < HOUR else 30.0, seconds=2 * HOUR)
    assert played.kept(0, HOUR) == {None, 2048, 1024}
    assert played.kept(2 * HOUR - 600, 2 * HOUR) == {None}
    assert played.moves(0, 2 * HOUR) == 4


def test_a_budget_ends_preemptions_that_go_on_without_one() -> None:
    played, unbounded = (play(lambda second: 100.0, seconds=HOUR, bounds=bounds) for bounds in (True, False))
    assert played.preempted(HOUR // 2, HOUR) == 0
    assert unbounded.preempted(HOUR // 2, HOUR) > 50


@pytest.mark.parametrize("demand", [70.0, 80.0, 90.0, 95.0, 100.0, 130.0])
def test_a_steady_demand_moves_the_budget_seldom_wherever_the_thresholds_are(demand: float) -> None:
    played = play(lambda second: demand, seconds=4 * HOUR, seed=int(demand))
    assert played.moves(0, 4 * HOUR) <= 4


def test_a_demand_that_comes_and_goes_moves_the_budget_no_more_often_than_it_does() -> None:
    played = play(lambda second: 30.0 if second // (HOUR // 2) % 2 else 160.0, seconds=5 * HOUR)
    assert 10 <= played.moves(0, 5 * HOUR) <= 4 * 5


def test_where_nobody_tells_what_is_saved_a_budget_is_given_up_ever_more_seldom() -> None:
    played, told = (
        play(lambda second: 130.0, seconds=4 * HOUR, tells_saved=tells) for tells in (False, True)
    )
    by_hour = [played.moves(start, start + HOUR) for start in range(0, 4 * HOUR, HOUR)]
    assert by_hour[0] > 4
    assert max(by_hour[1:]) <= 2
    assert told.moves(0, 4 * HOUR) == 2


def test_more_than_the_last_rung_can_carry_gets_advice_and_no_more_moves() -> None:
    played = play(lambda second: 400.0, seconds=HOUR)
    last = played.asked[-1]
    assert (last.kept_tokens, last.reason) == (1024, Reason.LAST_RUNG)
    assert last.advice
    assert played.moves(0, HOUR) == 2
