"""A fold of paged memory equals the choice of tokens from plain lists, in both halves of each block."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.kv.spans import Spans
from loadline_vllm.retention.folds import CpuVectors, Fold, KeysValues
from loadline_vllm.retention.scores import SCORES

SIZE = 4


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


@given(
    st.sampled_from(sorted(SCORES)),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2**16),
)
def test_a_fold_keeps_the_chosen_tokens_of_each_head(
    policy: str, heads: int, kept: int, folded: int, seed: int
) -> None:
    block = 4
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(12, heads, block, 2 * SIZE, generator=generator)
    blocks = torch.randperm(12, generator=generator)[: kept + folded]
    layout = CpuVectors()
    keys, values = layout.read(memory, blocks)
    positions = torch.arange((kept + folded) * block).expand(heads, -1)
    best = [
        sorted(sorted(range(positions.shape[1]), key=lambda at: -scores[at])[: kept * block])
        for scores in SCORES[policy](keys, values, positions).tolist()
    ]
    fold = Fold(
        kept_blocks=blocks[:kept],
        folded_blocks=blocks[kept:],
        folded_positions=positions[0, kept * block :],
        kept_tokens=kept * block,
        computed_tokens=(kept + folded) * block,
        sink_tokens=0,
        recent_tokens=0,
        spans=Spans(),
    )
    stayed = fold.apply(memory, positions[:, : kept * block], layout=layout, score=SCORES[policy])
    folded_keys, folded_values = layout.read(memory, blocks[:kept])
    assert stayed.tolist() == best
    for head, places in enumerate(best):
        assert folded_keys[head].equal(keys[head, places])
        assert folded_values[head].equal(values[head, places])
