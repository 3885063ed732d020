"""
Whether ranks that see different keys and values agree with the scheduler and with each other; JSON at the
end.

    python -m benchmarks.kv_retention.rank_agreements REQUESTS

The same requests, by their lengths, are scheduled twice with different prompts: each step must have the same
blocks. Two ranks fold the first of these schedules over random keys and values of their own: after each step
both must show their kernel the same blocks and lengths, and have folded as often. Which tokens they kept has
to differ, or else their agreeing would show nothing. A value's first number is its token's position, by which
what was kept is told.

The pool is too small for all, so requests are preempted and computed again. The engine's interpreter runs it.
"""

import json
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from benchmarks.kv_retention import bounded_schedulers
from benchmarks.kv_retention.bounded_schedulers import Bounds
from loadline_vllm.retention.folds import CpuVectors, KeysValues
from loadline_vllm.retention.reductions import same_everywhere
from loadline_vllm.retention.row_folds import RowFolds, RunningRequests
from loadline_vllm.schedulers import LoadlineScheduler
from testbed.engines.schedulers import Limits, Memory, SteppedScheduler, facts
from testbed.engines.workloads import Asked, words

BOUNDS: Final = Bounds(kept_tokens=32, buffer_tokens=32, block_tokens=16, step_tokens=64)
LIMITS: Final = Limits(requests=16, tokens=BOUNDS.step_tokens, context_tokens=1_024)
BLOCKS: Final = 48
LAYERS, HEADS, SIZE = ("first", "second"), 2, 8
SEEDS: Final = (1, 2)


@dataclass
class Batch:
    """What is read of vLLM's metadata."""

    num_reqs: int
    query_start_loc_cpu: torch.Tensor
    seq_lens: torch.Tensor
    block_table_tensor: torch.Tensor
    max_seq_len: int


class Rank:
    """One rank: the KV memory of its heads, whose content is its own, and the block tables of its rows."""

    def __init__(self, seed: int, bounds: Bounds = BOUNDS) -> None:
        self._random = torch.Generator().manual_seed(seed)
        shape = (BLOCKS + 1, HEADS, BOUNDS.block_tokens, 2 * SIZE)
        self._memory = {layer: torch.zeros(shape) for layer in LAYERS}
        self._tables: dict[str, list[int]] = {}
        self._rows: list[str] = []
        engine = bounded_schedulers.engine(bounds)
        self._running = RunningRequests(engine)
        self._running.row_ids = lambda: self._rows
        self.folds = RowFolds(
            engine,
            LAYERS,
            self._memory.__getitem__,
            layout=CpuVectors(),
            reductions=same_everywhere("key-norm"),
            running=self._running,
        )

    def step(self, output: Any) -> Batch:
        """What the kernel sees of a step. The step's own tokens are in the memory afterwards."""
        computed = self._take(output)
        self._rows = [*output.num_scheduled_tokens]
        news = [output.num_scheduled_tokens[row] for row in self._rows]
        lengths = [computed[row] + new for row, new in zip(self._rows, news, strict=True)]
        shown: Batch = self.folds.shown(
            Batch(
                num_reqs=len(self._rows),
                query_start_loc_cpu=torch.tensor([0, *news]).cumsum(0),
                seq_lens=torch.tensor(lengths),
                block_table_tensor=self._table(),
                max_seq_len=max(lengths),
            )
        )
        for row, length, new in zip(self._rows, lengths, news, strict=True):
            self._fill(row, range(length - new, length))
        return shown

    def held(self, shown: Batch, row: int) -> list[list[float]]:
        """The positions of the tokens that the kernel reads for a row before the step's own, of each head."""
        start, end = shown.query_start_loc_cpu[row : row + 2].tolist()
        length = int(shown.seq_lens[row]) - (end - start)
        blocks = shown.block_table_tensor[row, : -(-length // BOUNDS.block_tokens)]
        values = CpuVectors().read(self._memory[LAYERS[0]], blocks).values
        found: list[list[float]] = values[:, :length, 0].tolist()
        return found

    def _take(self, output: Any) -> dict[str, int]:
        """Blocks and budgets of the step's requests; their computed tokens."""
        self._running.update(output)
        computed = {}
        for new in output.scheduled_new_reqs:
            self._tables[new.req_id] = [*new.block_ids[0]]
            computed[new.req_id] = new.num_computed_tokens
        cached = output.scheduled_cached_reqs
        for place, request_id in enumerate(cached.req_ids):
            blocks = [*(cached.new_block_ids[place] or ([],))[0]]
            if request_id in cached.resumed_req_ids:
                self._tables[request_id] = blocks
            else:
                self._tables[request_id] += blocks
            computed[request_id] = cached.num_computed_tokens[place]
        return computed

    def _table(self) -> torch.Tensor:
        table = torch.zeros(len(self._rows), LIMITS.context_tokens // BOUNDS.block_tokens, dtype=torch.long)
        for place, row in enumerate(self._rows):
            table[place, : len(self._tables[row])] = torch.tensor(self._tables[row])
        return table

    def _fill(self, row: str, positions: range) -> None:
        """Write the keys and values of new tokens, as a kernel does."""
        layout, size = CpuVectors(), BOUNDS.block_tokens
        for memory in self._memory.values():
            for position in positions:
                block = torch.tensor([self._tables[row][position // size]])
                keys, values = (part.clone() for part in layout.read(memory, block))
                keys[:, position % size] = torch.randn(HEADS, SIZE, generator=self._random)
                values[:, position % size] = float(position)
                layout.write(memory, block, KeysValues(keys, values))


def asked(count: int, *, content: str) -> list[Asked]:
    """Requests of mixed lengths; another `content` has the same lengths and other words."""
    chance = random.Random(0)
    return [
        Asked(
            request_id=f"r{number}",
            prompt=words(f"{content}/{number}", chance.randint(20, 200)),
            output_tokens=(tokens := chance.randint(20, 150)),
            most_tokens=tokens,
        )
        for number in range(count)
    ]


def measured(requests: int, ranks: Sequence[Rank]) -> dict[str, Any]:
    """Whether scheduler and two ranks agree, and how much there was to agree on."""
    one, other = (_stepped() for _ in range(2))
    schedule = one.answer(asked(requests, content="one"))
    same = [facts(step) for step in other.answer(asked(requests, content="other"))]
    steps = [_compared(ranks, output) for output in schedule if output.num_scheduled_tokens]
    counts = [rank.folds.folds for rank in ranks]
    return {
        "requests": requests,
        "steps": len(steps),
        "preemptions": one.preemptions,
        "folds": counts[0],
        "schedules_equal": [facts(step) for step in schedule] == same,
        "tables_equal": all(equal for equal, _ in steps),
        "folds_equal": counts[0] == counts[1],
        "kept_differ": any(differ for _, differ in steps),
    }


def _stepped() -> SteppedScheduler:
    memory = Memory(blocks=BLOCKS, block_tokens=BOUNDS.block_tokens, prefix_caching=True)
    groups = [bounded_schedulers.group(BOUNDS)]
    found = SteppedScheduler(LoadlineScheduler, memory, LIMITS, groups=groups)
    if found.vllm.budgets is None:
        raise RuntimeError(f"no request would have a budget: {found.vllm.unbounded}")
    return found


def _compared(ranks: Sequence[Rank], output: Any) -> tuple[bool, bool]:
    """Whether ranks show the same blocks and lengths in a step, and whether they kept other tokens."""
    before = [rank.step(output) for rank in ranks]
    equal = (
        before[0].block_table_tensor.equal(before[1].block_table_tensor)
        and before[0].seq_lens.equal(before[1].seq_lens)
        and before[0].max_seq_len == before[1].max_seq_len
    )
    held = [
        [rank.held(shown, row) for row in range(shown.num_reqs)]
        for rank, shown in zip(ranks, before, strict=True)
    ]
    return equal, held[0] != held[1]


def main() -> None:
    """Compare, and print one JSON document."""
    logging.getLogger("vllm").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(json.dumps(measured(int(sys.argv[1]), [Rank(seed) for seed in SEEDS])))


if __name__ == "__main__":
    main()
