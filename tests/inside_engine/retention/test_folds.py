"""A fold of paged memory equals what plain lists give, in both halves of each block."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.spans import Span, Spans
from loadline_vllm.retention.folds import CpuVectors, Fold, KeysValues
from loadline_vllm.retention.held_tokens import Origins, first_origins
from loadline_vllm.retention.merges import CHUNK_TOKENS, STEPS
from loadline_vllm.retention.reductions import REDUCTIONS
from loadline_vllm.retention.scores import SCORES
from testbed.kv.reference_folds import Layer, LayerReduction, choosing, merging

BLOCK, SIZE = 4, 4


@given(st.integers(1, 3), st.integers(1, 8), st.integers(1, 3), st.integers(0, 2**16))
def test_what_is_written_is_read_back(heads: int, block: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    memory = torch.zeros(9, heads, block, 2 * SIZE)
    blocks = torch.randperm(9, generator=generator)[:count]
    keys, values = torch.randn(2, heads, count * block, SIZE, generator=generator)
    CpuVectors().write(memory, blocks, KeysValues(keys, values))
    read_keys, read_values = CpuVectors().read(memory, blocks)
    assert read_keys.equal(keys)
    assert read_values.equal(values)
    others = [one for one in range(9) if one not in blocks.tolist()]
    assert not memory[others].any()


def test_keys_are_transposed_in_a_block_and_values_are_not() -> None:
    """As vLLM's CPU kernels `vec` read them: the keys of a block are [head size, tokens] in memory."""
    memory = torch.zeros(1, 1, 2, 4)
    keys, values = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[5.0, 6.0], [7.0, 8.0]]])
    CpuVectors().write(memory, torch.tensor([0]), KeysValues(keys, values))
    assert memory.flatten().tolist() == [1, 3, 2, 4, 5, 6, 7, 8]


REFERENCES: dict[str, LayerReduction] = {
    "chelsea": merging(chunk_tokens=CHUNK_TOKENS, steps=STEPS),
    **{policy: choosing(score) for policy, score in SCORES.items()},
}


class Memory:
    """One request's blocks, of random numbers, in the KV memory of a layer."""

    def __init__(self, *, heads: int, kept: int, folded: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.heads, self.kept = heads, kept
        self.blocks = torch.randperm(kept + folded + 3, generator=generator)[: kept + folded]
        self.memory = torch.randn(kept + folded + 3, heads, BLOCK, 2 * SIZE, generator=generator)

    @property
    def tokens(self) -> int:
        return len(self.blocks) * BLOCK

    def read(self, blocks: int | None = None) -> KeysValues:
        """What is in so many of the first blocks, or in all."""
        return CpuVectors().read(self.memory, self.blocks[:blocks])

    def fold(self, policy: str, *, sinks: int = 0, recent: int = 0, spans: Spans | None = None) -> Origins:
        kept_tokens = self.kept * BLOCK
        fold = Fold(
            kept_blocks=self.blocks[: self.kept],
            folded_blocks=self.blocks[self.kept :],
            folded_positions=torch.arange(kept_tokens, self.tokens, dtype=torch.int32),
            kept_tokens=kept_tokens,
            computed_tokens=self.tokens,
            sink_tokens=sinks,
            recent_tokens=recent,
            spans=spans or Spans(),
        )
        before = first_origins(kept_tokens, heads=self.heads, device=self.memory.device)
        return fold.apply(self.memory, before, layout=CpuVectors(), reduction=REDUCTIONS[policy])


@given(
    st.sampled_from(sorted(REDUCTIONS)),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 2**16),
)
def test_a_fold_leaves_what_plain_lists_give(
    policy: str, heads: int, kept: int, folded: int, seed: int
) -> None:
    memory = Memory(heads=heads, kept=kept, folded=folded, seed=seed)
    before = memory.read()
    positions = torch.arange(memory.tokens).expand(heads, -1)
    whole = Layer(before.keys, before.values, positions, torch.ones_like(positions))
    expected = REFERENCES[policy](whole, [[False] * memory.tokens] * heads, kept * BLOCK)
    origins = memory.fold(policy)
    after = memory.read(kept)
    assert origins.positions.tolist() == expected.positions.tolist()
    assert origins.counts.tolist() == expected.counts.tolist()
    torch.testing.assert_close(after.keys, expected.keys)
    torch.testing.assert_close(after.values, expected.values)


@pytest.mark.parametrize("policy", sorted(REDUCTIONS))
def test_sinks_recent_tokens_and_protected_spans_stay_to_the_bit(policy: str) -> None:
    memory = Memory(heads=2, kept=4, folded=3)
    before = memory.read()
    always = [0, 1, 9, 10, 11, 26, 27]
    origins = memory.fold(policy, sinks=2, recent=2, spans=Spans(protected=(Span(9, 12),)))
    after = memory.read(4)
    for head, positions in enumerate(origins.positions.tolist()):
        places = [positions.index(position) for position in always]
        assert after.keys[head, places].equal(before.keys[head, always])
        assert after.values[head, places].equal(before.values[head, always])
        assert origins.counts[head, places].tolist() == [1] * len(always)
