"""
The processes of an expert-parallel group on a CPU: they exchange rows over gloo and compute their experts.

Each rank is a process with one thread, pinned to a core. A step gathers the rows that it sends, exchanges
them, computes its experts (SwiGLU, three matrix products each), exchanges the answers, and adds them up by
their weights. What a router and a capacity cost isn't part of it, nor is the making of the tables.

A group that has a core for each rank is timed *directly*: from the moment when all ranks are ready until the
last has its answers. A larger one can't be: there each rank's own work is timed while the others wait, and
the exchange on its own (`Times.composed_s`).

A run in which other processes took a rank's core isn't used. The kernel counts involuntary switches, but also
those to the rank's own gloo threads, which take the core whenever a message comes. So a run is refused if it
had a switch, and the thread that computes waited for its core for longer than the rank's other threads ran,
by more than WAITED of the run.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.functional import silu

from benchmarks.expert_parallel.dispatches import Dispatch, RankWork

PATIENCE = timedelta(minutes=10)
WAITED = 0.02
"""The share of a span for which other processes may have had a rank's core."""

LEAST_TRIES = 4
"""A run may be tried so many times, for each that must be clean."""

Bank = tuple[Tensor, Tensor]
"""The weights of all experts, shared by all ranks: [E, H, 2I] and [E, I, H]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of one step: the median of its clean runs, None if there were none; and how many were refused.

    `slowest_s` is the own work of the slowest rank, `exchange_s` the exchanges; a directly timed step has
    them too, to show what composing them misses.
    """

    step_s: float | None
    slowest_s: float | None
    exchange_s: float | None
    clean: int
    refused: int

    @property
    def composed_s(self) -> float | None:
        """The slowest rank's own work and the exchange, one after the other."""
        if self.slowest_s is None or self.exchange_s is None:
            return None
        return self.slowest_s + self.exchange_s


def bank(*, experts: int, hidden: int, intermediate: int) -> Bank:
    """Random weights in shared memory."""
    generator = torch.Generator().manual_seed(0)
    up = torch.randn(experts, hidden, 2 * intermediate, generator=generator) / hidden**0.5
    down = torch.randn(experts, intermediate, hidden, generator=generator) / intermediate**0.5
    return up.share_memory_(), down.share_memory_()


def timed(batches: Sequence[Dispatch], weights: Bank, *, runs: int) -> list[Times]:
    """The times of each batch's step, all by as many ranks: `runs` clean runs each, taken in turns."""
    return [Times(**row) for row in json.loads(_spawned(_time, batches, weights, runs=runs))]


def answers(batches: Sequence[Dispatch], weights: Bank) -> list[list[Tensor]]:
    """What each rank has after each batch's step, for tests."""
    return [
        [torch.tensor(one) for one in row] for row in json.loads(_spawned(_answer, batches, weights, runs=1))
    ]


def _spawned(
    task: Callable[["_Rank", Sequence[Dispatch], int], Any],
    batches: Sequence[Dispatch],
    weights: Bank,
    *,
    runs: int,
) -> str:
    """What `task` returns on the first rank, as JSON."""
    (count,) = {len(batch.works) for batch in batches}
    with tempfile.TemporaryDirectory() as directory:
        mp.spawn(_process, (count, directory, task, batches, weights, runs), nprocs=count)
        return Path(directory, "answer").read_text("utf-8")


def _process(  # noqa: PLR0917
    rank: int,
    count: int,
    directory: str,
    task: Callable[["_Rank", Sequence[Dispatch], int], Any],
    batches: Sequence[Dispatch],
    weights: Bank,
    runs: int,
) -> None:
    """One rank."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(f"{directory}/store", count)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)
    with torch.inference_mode():
        found = task(_Rank(rank, weights, batches), batches, runs)
    if rank == 0:
        Path(directory, "answer").write_text(json.dumps(found), "utf-8")
    dist.destroy_process_group()


class _Rank:
    """One rank's buffers, large enough for each of its batches, and the parts of a step."""

    def __init__(self, rank: int, weights: Bank, batches: Sequence[Dispatch]) -> None:
        self.rank, self.weights = rank, weights
        works = [batch.works[rank] for batch in batches]
        hidden = weights[0].shape[1]
        generator = torch.Generator().manual_seed(rank)
        self.tokens = torch.randn(max(work.tokens for work in works), hidden, generator=generator)
        sent = max(len(work.rows) for work in works)
        received = max(work.pairs for work in works)
        self.sent, self.back = torch.randn(2, sent, hidden, generator=generator)
        self.received, self.sorted, self.computed = torch.randn(3, received, hidden, generator=generator)

    def step(self, work: RankWork) -> Tensor:
        """A whole step; the answers of the rank's own tokens."""
        self.gather(work)
        self.exchange(work)
        self.compute(work)
        self.return_(work)
        return self.add_up(work)

    def alone(self, work: RankWork) -> None:
        """What the rank does by itself in a step."""
        self.gather(work)
        self.compute(work)
        self.add_up(work)

    def exchanges(self, work: RankWork) -> None:
        """The rest of a step."""
        self.exchange(work)
        self.return_(work)

    def gather(self, work: RankWork) -> None:
        """Copy the rows that are sent."""
        torch.index_select(self.tokens, 0, work.rows, out=self.sent[: len(work.rows)])

    def exchange(self, work: RankWork) -> None:
        """Send rows to the ranks of their experts."""
        sent, received = self.sent[: len(work.rows)], self.received[: work.pairs]
        dist.all_to_all_single(received, sent, work.received, work.sent)

    def compute(self, work: RankWork) -> None:
        """Compute the rank's experts, each for its rows."""
        rows, computed = self.sorted[: work.pairs], self.computed[: work.pairs]
        torch.index_select(self.received[: work.pairs], 0, work.order, out=rows)
        up, down = self.weights
        begin = 0
        for expert, count in work.experts:
            gate, value = (rows[begin : begin + count] @ up[expert]).chunk(2, dim=1)
            torch.mm(silu(gate) * value, down[expert], out=computed[begin : begin + count])
            begin += count
        self.received[: work.pairs].index_copy_(0, work.order, computed)

    def return_(self, work: RankWork) -> None:
        """Send the answers back."""
        back, received = self.back[: len(work.rows)], self.received[: work.pairs]
        dist.all_to_all_single(back, received, work.sent, work.received)

    def add_up(self, work: RankWork) -> Tensor:
        """Add the answers of each token's pairs."""
        weighted = self.back[: len(work.rows)].mul_(work.weights.unsqueeze(1))
        return torch.zeros_like(self.tokens[: work.tokens]).index_add_(0, work.rows, weighted)


@dataclass(slots=True)
class _Spans:
    """Clean spans so far of one kind, and how many were refused."""

    seconds: list[float]
    refused: int = 0

    def add(self, span_s: float, *, clean: bool) -> None:
        """Take a span if it is clean."""
        if clean:
            self.seconds.append(span_s)
        else:
            self.refused += 1

    @property
    def median_s(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def _time(rank: _Rank, batches: Sequence[Dispatch], runs: int) -> list[dict[str, Any]]:
    direct = dist.get_world_size() <= len(os.sched_getaffinity(os.getppid()))
    takers = [_Taker(rank, batch, direct=direct) for batch in batches]
    for batch in batches:
        rank.step(batch.works[rank.rank])  # untimed, to warm up
    for turn in range(LEAST_TRIES * runs):
        waiting = [taker for taker in takers if taker.clean < runs]
        if rank.rank == 0:
            print(
                f"{dist.get_world_size()} ranks: run {turn + 1} of {runs} to {LEAST_TRIES * runs}, "
                f"{len(waiting)} of {len(takers)} batches",
                file=sys.stderr,
            )
        for taker in waiting:
            taker.take()
    return [taker.row() for taker in takers]


class _Taker:
    """Times one batch again and again; all ranks know the spans of all, so they agree on what is clean."""

    def __init__(self, rank: _Rank, batch: Dispatch, *, direct: bool) -> None:
        self.rank, self.work, self.direct = rank, batch.works[rank.rank], direct
        self.steps, self.exchanges = _Spans([]), _Spans([])
        self.alone = [_Spans([]) for _ in batch.works]

    @property
    def clean(self) -> int:
        """The fewest clean spans of what is timed; exchanges of processes that share a core never are."""
        counted = [len(spans.seconds) for spans in self.alone]
        return min([*counted, len(self.steps.seconds)] if self.direct else counted)

    def take(self) -> None:
        """One run of everything."""
        together = list(range(len(self.alone)))
        if self.direct:
            self._take(self.steps, lambda: self.rank.step(self.work), together)
        self._take(self.exchanges, lambda: self.rank.exchanges(self.work), together, shared=not self.direct)
        for one, spans in enumerate(self.alone):
            self._take(spans, lambda: self.rank.alone(self.work), [one])

    def row(self) -> dict[str, Any]:
        """The fields of `Times`."""
        slowest = [spans.median_s for spans in self.alone]
        known = [span_s for span_s in slowest if span_s is not None]
        return {
            "step_s": self.steps.median_s,
            "slowest_s": max(known) if len(known) == len(slowest) else None,
            "exchange_s": self.exchanges.median_s,
            "clean": self.clean,
            "refused": self.steps.refused + sum(spans.refused for spans in self.alone),
        }

    def _take(
        self, spans: _Spans, call: Callable[[], object], ranks: Sequence[int], *, shared: bool = False
    ) -> None:
        """Time a call; where ranks have `shared` a core, they can't but switch."""
        span_s, clean = self._span(call, ranks)
        spans.add(span_s, clean=clean or shared)

    def _span(self, call: Callable[[], object], ranks: Sequence[int]) -> tuple[float, bool]:
        """Seconds from the first begin to the last end on these ranks, and whether nothing else ran there."""
        dist.barrier()
        span = [0.0, 0.0, 0.0]
        if self.rank.rank in ranks:
            switches, waited_s = _switches(), _waited_s()
            began_s = time.monotonic()
            call()
            ended_s = time.monotonic()
            switches, waited_s = _switches() - switches, _waited_s() - waited_s
            span = [began_s, ended_s, waited_s if switches else 0.0]
        spans = [torch.empty(3, dtype=torch.float64) for _ in range(dist.get_world_size())]
        dist.all_gather(spans, torch.tensor(span, dtype=torch.float64))
        taken = torch.stack([spans[one] for one in ranks])
        span_s = float(taken[:, 1].max() - taken[:, 0].min())
        return span_s, bool(taken[:, 2].max() <= WAITED * span_s)


def _switches() -> int:
    """The involuntary switches of all threads so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _waited_s() -> float:
    """For how long the thread that computes has waited for its core while no other thread of the rank ran."""
    mine = os.getpid()
    threads = {
        int(path.parent.name): [int(one) / 1e9 for one in path.read_text("ascii").split()[:2]]
        for path in Path("/proc/self/task").glob("*/schedstat")
    }
    return threads[mine][1] - sum(ran_s for thread, (ran_s, _) in threads.items() if thread != mine)


def _answer(rank: _Rank, batches: Sequence[Dispatch], _: int) -> list[list[Any]]:
    found = []
    for batch in batches:
        parts: list[Any] = [None] * len(batch.works)
        dist.all_gather_object(parts, rank.step(batch.works[rank.rank]).tolist())
        found.append(parts)
    return found
