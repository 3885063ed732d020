"""What a request holds of each group of layers is asked of vLLM's own specification."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from vllm.v1.kv_cache_interface import MambaSpec, SlidingWindowSpec

from loadline_policies.kv.estimators import ByOracle
from loadline_policies.kv.peaks import BlockGroup
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_vllm import block_pools
from loadline_vllm.admission import memory_layouts
from testbed.engines.schedulers import SteppedScheduler, attention
from testbed.engines.workloads import mixed

pytestmark = pytest.mark.filterwarnings("ignore")

Made = Callable[..., SteppedScheduler]

ENFORCED = Config(admission=AdmissionMode.ENFORCE, reserve_percent=10)


def window() -> Any:
    return SlidingWindowSpec(
        block_size=16, num_kv_heads=1, head_size=8, dtype=torch.float32, sliding_window=64
    )


def state() -> Any:
    """Layers that hold a state, and no tokens."""
    return MambaSpec(
        block_size=512,
        shapes=((8,),),
        dtypes=(torch.float32,),
        mamba_cache_mode="none",
        page_size_padded=1024,
    )


def test_layers_that_keep_every_token_have_no_bound(made: Made) -> None:
    ours = made("observe")
    assert memory_layouts.groups_of(ours.vllm) == (BlockGroup(block_tokens=16),)
    assert (block_pools.pool_blocks(ours.vllm), block_pools.used_blocks(ours.vllm)) == (64, 0)


def test_a_sliding_window_bounds_what_a_request_holds(made: Made) -> None:
    whole, windowed = memory_layouts.groups_of(made("observe", groups=[attention(16), window()]).vllm)
    assert (whole.most_blocks, windowed.block_tokens) == (None, 16)
    assert windowed.most_blocks == 33  # as many as 512 tokens, since two steps may have 2 × 256, and one more


def test_layers_with_a_state_hold_one_block(made: Made) -> None:
    ours = made("observe", groups=[attention(16), state()])
    assert memory_layouts.groups_of(ours.vllm)[1] == BlockGroup(block_tokens=1, most_blocks=1)


@pytest.mark.parametrize("other", [window, state])
def test_with_several_groups_whoever_knows_the_lengths_preempts_none(
    made: Made, other: Callable[[], Any]
) -> None:
    asked = mixed(9)
    ours = made(policy=ENFORCED, blocks=128, groups=[attention(16), other()])
    true = {one.request_id: one.output_tokens for one in asked}
    ours.vllm.loadline.admission.gate.ask_estimator(ByOracle(true))
    ours.answer(asked)
    assert ours.preemptions == 0
    assert ours.vllm.loadline.answer()["admission"]["refusals"] > 0
