"""
An engine without a GPU: a scheduler of vLLM is stepped as vLLM's engine core does, and a model says how long.

The scheduler is real, and so is its block pool. Steps overlap as under async scheduling: one is scheduled
while the one before it computes, so it sees no token of that one and no request that arrives meanwhile. The
clock moves only when a step ends, or to the next arrival when there is nothing to do. Tokens are made up; the
last of an answer is a stop token, which the scheduler can't foresee.

What isn't simulated: the HTTP front end, and the processor time of the scheduler itself, which is measured
beside it.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from vllm import SamplingParams
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request

from benchmarks.admissions.goodputs import Served
from benchmarks.admissions.workloads import Arrival
from loadline_policies.models.steps import Batch, StepModel, pairs, step_s

FILLING: Final = 1
STOP: Final = 2
STEPS_IN_FLIGHT: Final = 2
"""vLLM's own number under async scheduling, without pipeline parallelism."""

Hasher = Callable[[Request], list[Any]]


class Stalled(Exception):
    """The scheduler has requests, runs none of them, and none arrives any more."""


@dataclass(slots=True)
class Work:
    """What an engine did in a run, in tokens, blocks and steps."""

    steps: int = 0
    computed_tokens: int = 0
    recomputed_tokens: int = 0
    surplus_tokens: int = 0
    """Computed for requests that had ended: async scheduling learns of a stop token one step late."""
    preemptions: int = 0
    running_sum: int = 0
    usage_sum: float = 0.0
    schedule_times_s: list[float] = field(default_factory=list)
    """Processor time of each schedule() that scheduled something; real, not simulated."""


@dataclass(slots=True)
class _Answer:
    """A request and the times of its tokens."""

    arrival: Arrival
    request: Request
    tokens: int = 0
    first_s: float = inf
    last_s: float = inf
    longest_gap_s: float = 0.0
    computed_most: int = 0
    """Its tokens up to here have been computed; those that are computed again are a preemption's cost."""

    def take(self, tokens: int, *, now_s: float) -> None:
        if self.tokens:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_s)
        else:
            self.first_s = now_s
        self.tokens, self.last_s = self.tokens + tokens, now_s


@dataclass(slots=True)
class _Step:
    """A scheduled step, whether each of its requests gets a token of it, and when it ends."""

    scheduled: SchedulerOutput
    samples: list[bool]
    ends_s: float


@dataclass(slots=True)
class SimulatedEngine:
    """Serves arrivals, which are in order of time, by a new scheduler."""

    scheduler: Any
    steps: StepModel
    arrivals: Sequence[Arrival]
    hasher: Hasher | None = None
    work: Work = field(default_factory=Work)
    now_s: float = 0.0
    _answers: dict[str, _Answer] = field(default_factory=dict)
    _arrived: int = 0

    def run(self) -> list[Served]:
        """Serve all, in simulated time."""
        in_flight: deque[_Step] = deque()
        with _without_collections():
            while in_flight or not self._has_served_all():
                self._take_arrivals()
                if self.scheduler.has_requests():
                    in_flight.append(self._scheduled(after_s=in_flight[-1].ends_s if in_flight else 0.0))
                    if not self._is_idle(in_flight) and len(in_flight) < STEPS_IN_FLIGHT:
                        continue
                if in_flight:
                    self._deliver(in_flight.popleft())
                else:
                    self._wait_for_arrival()
        return [_served(one) for one in self._answers.values()]

    def _has_served_all(self) -> bool:
        return self._arrived == len(self.arrivals) and not self.scheduler.get_num_unfinished_requests()

    def _is_idle(self, in_flight: deque[_Step]) -> bool:
        """Whether nothing was scheduled and nothing computes: the clock moves to the next arrival then."""
        if any(step.samples for step in in_flight):
            return False
        if self.scheduler.get_num_unfinished_requests():
            self._wait_for_arrival()
        return True

    def _take_arrivals(self) -> None:
        while self._arrived < len(self.arrivals) and self.arrivals[self._arrived].arrived_s <= self.now_s:
            arrival = self.arrivals[self._arrived]
            self._arrived += 1
            request = Request(
                request_id=arrival.request_id,
                prompt_token_ids=arrival.prompt(),
                sampling_params=SamplingParams(max_tokens=arrival.most_tokens, stop_token_ids=[STOP]),
                pooling_params=None,
                arrival_time=arrival.arrived_s,
                block_hasher=self.hasher,
            )
            self._answers[arrival.request_id] = _Answer(arrival, request)
            self.scheduler.add_request(request)

    def _wait_for_arrival(self) -> None:
        if self._arrived == len(self.arrivals):
            raise Stalled(f"{self.scheduler.get_num_unfinished_requests()} requests wait, and none runs")
        self.now_s = max(self.now_s, self.arrivals[self._arrived].arrived_s)

    def _scheduled(self, *, after_s: float) -> _Step:
        began = time.perf_counter()
        scheduled = self.scheduler.schedule()
        took = time.perf_counter() - began
        batch, samples = self._batch(scheduled)
        if samples:
            self.work.steps += 1
            self.work.schedule_times_s.append(took)
            self.work.running_sum += len(self.scheduler.running)
            self.work.usage_sum += self.scheduler.kv_cache_manager.usage
        return _Step(scheduled, samples, max(self.now_s, after_s) + step_s(self.steps, batch))

    def _batch(self, scheduled: SchedulerOutput) -> tuple[Batch, list[bool]]:
        """What the step computes; the scheduler has counted it as computed already."""
        decoding = context = prefill = 0
        prefill_pairs = 0.0
        samples = []
        for request_id, tokens in scheduled.num_scheduled_tokens.items():
            answer = self._answers[request_id]
            request = answer.request
            after = request.num_computed_tokens
            before = after - tokens
            samples.append(not request.is_prefill_chunk)
            if tokens == 1 and samples[-1]:
                decoding, context = decoding + 1, context + after
            else:
                prefill, prefill_pairs = prefill + tokens, prefill_pairs + pairs(before=before, tokens=tokens)
            self.work.computed_tokens += tokens
            self.work.recomputed_tokens += max(0, min(after, answer.computed_most) - before)
            answer.computed_most = max(after, answer.computed_most)
        return Batch(
            decoding=decoding, context_tokens=context, prefill_tokens=prefill, prefill_pairs=prefill_pairs
        ), samples

    def _deliver(self, step: _Step) -> None:
        """The step's tokens reach the scheduler, and those that it passes on reach their clients."""
        self.now_s = max(self.now_s, step.ends_s)
        counts = step.scheduled.num_scheduled_tokens
        ids = list(counts)
        made = ModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={request_id: place for place, request_id in enumerate(ids)},
            sampled_token_ids=[
                [self._token(one, counts[one])] if samples else []
                for one, samples in zip(ids, step.samples, strict=True)
            ],
        )
        for outputs in self.scheduler.update_from_output(step.scheduled, made).values():
            for output in outputs.outputs:
                answer = self._answers[output.request_id]
                if output.new_token_ids:
                    answer.take(len(output.new_token_ids), now_s=self.now_s)
                if output.finish_reason is not None:
                    self.work.preemptions += answer.request.num_preemptions

    def _token(self, request_id: str, tokens: int) -> int:
        answer = self._answers[request_id]
        if answer.request.is_finished():
            self.work.surplus_tokens += tokens
        is_last = answer.request.num_output_tokens + 1 >= answer.arrival.output_tokens
        return STOP if is_last else FILLING


def _served(answer: _Answer) -> Served:
    return Served(
        arrived_s=answer.arrival.arrived_s,
        prompt_tokens=answer.arrival.prompt_tokens,
        output_tokens=answer.tokens,
        first_s=answer.first_s,
        last_s=answer.last_s,
        longest_gap_s=answer.longest_gap_s,
        preemptions=answer.request.num_preemptions,
    )


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage collection, as in vLLM, which freezes what it made at its start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
