"""A layer's counters on their device: what they add up, and what leaves them as they were."""

import torch
from torch import Tensor

from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.shadow_tables import count
from loadline_vllm.expert_layers.layer_placements import LayerPlacement, linear, round_robin
from loadline_vllm.expert_layers.layers import ExpertsLayer

EXPERTS, TOP_K, RANKS, FLOOR = 6, 2, 4, 8
CPU = torch.device("cpu")


def layer(*, traced: bool = False) -> ExpertsLayer:
    made = ExpertsLayer(
        ranks=linear(EXPERTS, RANKS), rank_count=RANKS, device=CPU, floor=FLOOR, traced=traced
    )
    made.hold(ExpertsSettings(min_tokens=FLOOR))
    return made


def chosen(tokens: int, seed: int = 0) -> Tensor:
    """Experts of a batch, uneven, each token's different."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand((tokens, EXPERTS), generator=generator) * torch.arange(1, EXPERTS + 1)
    return scores.topk(TOP_K, dim=1).indices.to(torch.int32)


def observe(one: ExpertsLayer, ids: Tensor, real: Tensor | None = None) -> None:
    one.route(torch.zeros((len(ids), EXPERTS)), ids, torch.ones(ids.shape), real=real)


def test_batches_add_up_one_by_one() -> None:
    one, placement = layer(), contiguous(EXPERTS, RANKS)
    expected = []
    for seed, tokens in enumerate((8, 40, 13)):
        ids = chosen(tokens, seed)
        observe(one, ids)
        loads = ids.flatten().bincount(minlength=EXPERTS).tolist()
        expected.append(count(loads, tokens=tokens, top_k=TOP_K, placement=placement))
    total, found = sum(expected[1:], expected[0]), one.counters.read()
    assert found["batches"] == [0, 3]
    assert found["tokens"] == [0, 61]
    assert found["dropped"] == list(total.dropped)
    assert found["capped_rank_most"] == list(total.capped_rank_most)
    assert (found["expert_most"], found["rank_most"]) == (total.expert_most, total.rank_most)


def test_a_small_batch_counts_apart_whether_its_size_is_known_or_not() -> None:
    one, other = layer(traced=False), layer(traced=True)
    observe(one, chosen(FLOOR - 1))
    observe(other, chosen(FLOOR - 1))
    found = one.counters.read()
    assert found == other.counters.read()
    assert found["batches"] == [1, 0]
    assert sum(found["loads"][0]) == TOP_K * (FLOOR - 1)
    assert found["dropped"] == [0] * len(GRID_THOUSANDTHS)


def test_padding_counts_nowhere() -> None:
    one, other = layer(), layer()
    ids = chosen(20)
    observe(one, ids)
    padded = torch.cat((ids, torch.full((12, TOP_K), -1, dtype=torch.int32)))
    observe(other, padded)
    assert other.counters.read() == one.counters.read()
    masked, real = torch.cat((ids, chosen(12, seed=3))), torch.arange(32) < 20
    observe(other, masked, real)
    one_more = one.counters.read()["tokens"][1] * 2
    assert other.counters.read()["tokens"][1] == one_more


def test_a_batch_of_padding_alone_is_no_batch() -> None:
    one = layer()
    observe(one, torch.full((20, TOP_K), -1, dtype=torch.int32))
    assert not one.counters.counts.any()
    assert not one.counters.sums.any()


def test_settings_are_filled_in_place() -> None:
    one = layer()
    before = [(name, buffer.data_ptr()) for name, buffer in one.named_buffers()]
    one.hold(ExpertsSettings(mode="off", min_tokens=1))
    assert [(name, buffer.data_ptr()) for name, buffer in one.named_buffers()] == before
    assert int(one.settings.min_tokens) == FLOOR


def test_a_trace_reads_the_settings_that_hold_now() -> None:
    one = layer(traced=True)
    traced = torch.compile(one.route, fullgraph=True, dynamic=True, backend="eager")
    for mode, batches in (("observe", 1), ("off", 0), ("observe", 1)):
        one.hold(ExpertsSettings.model_validate({"mode": mode, "min_tokens": FLOOR}))
        traced(torch.zeros((24, EXPERTS)), chosen(24), torch.ones((24, TOP_K)), real=None)
        assert one.counters.read()["batches"] == [0, batches]


def test_nothing_of_it_is_saved_with_the_model() -> None:
    assert not layer().state_dict()


def test_experts_are_placed_as_vllm_places_them() -> None:
    assert linear(6, 4).tolist() == [0, 0, 1, 1, 2, 3]
    assert round_robin(6, 4).tolist() == [0, 1, 2, 3, 0, 1]


def test_replicas_share_their_experts_load() -> None:
    placement = LayerPlacement(linear(4, 2), count=2, device=CPU)
    assert placement.rank_loads([8, 0, 0, 2]) == [8.0, 2.0]
    # Of 6 physical experts, 3 on each rank, logical 0 is at 0 and 4, logical 3 at 3 and 5.
    placement.move(torch.tensor([[0, 4, -1], [1, -1, -1], [2, -1, -1], [3, 5, -1]]), physical=6)
    assert placement.replicas.tolist() == [2, 1, 1, 2]
    assert placement.rank_loads([8, 1, 0, 2]) == [5.0, 6.0]
