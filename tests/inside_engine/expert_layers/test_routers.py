"""What EPLB records where a bound has changed a choice, with a recorder in the place of vLLM's kernel.

vLLM maps and records on a GPU only; on a CPU its function gives back the ids.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from loadline_api.expert_settings import ExpertsSettings
from loadline_vllm.expert_layers import worker_rpc
from loadline_vllm.expert_layers.bounds import LayerBound
from loadline_vllm.expert_layers.layer_placements import linear
from loadline_vllm.expert_layers.layers import ExpertsLayer
from loadline_vllm.expert_layers.routers import router_class
from loadline_vllm.expert_layers.selections import RouterRule
from loadline_vllm.experts.dropped_slots import DroppedSlot

pytestmark = pytest.mark.filterwarnings("ignore")

EXPERTS, TOP_K, TOKENS = 4, 2, 32
REPLICA = 5
"""The second copy of expert 3."""

CPU = torch.device("cpu")


def record(
    *,
    topk_ids: Tensor,
    expert_load_view: Tensor,
    logical_to_physical_map: Tensor,
    logical_replica_count: Tensor,
    record_enabled: Tensor,
    num_unpadded_tokens: Tensor,
) -> Tensor:
    """What vLLM's kernel does: a replica by the token's place, and a count for each id from 0 up."""
    rows = torch.arange(len(topk_ids)).unsqueeze(1)
    replica = rows % logical_replica_count[topk_ids.clamp(min=0).long()]
    mapped = logical_to_physical_map[topk_ids.clamp(min=0).long(), replica]
    mapped = torch.where(topk_ids < 0, -1, mapped)
    if bool(record_enabled):
        counted = mapped[: int(num_unpadded_tokens)]
        expert_load_view += torch.bincount(counted[counted >= 0], minlength=len(expert_load_view))
    return mapped.to(topk_ids.dtype)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Any:
    """EPLB's state of one layer of four experts, of which the last has a replica."""
    from vllm.distributed.eplb.eplb_state import EplbLayerState
    from vllm.model_executor.layers.fused_moe.router import base_router

    monkeypatch.setattr(base_router, "eplb_map_to_physical_and_record", record)
    return EplbLayerState(
        expert_load_view=torch.zeros(REPLICA + 1, dtype=torch.int64),
        logical_to_physical_map=torch.tensor([[0, -1], [1, -1], [2, -1], [3, REPLICA]]),
        logical_replica_count=torch.tensor([1, 1, 1, 2]),
        should_record_tensor=torch.ones((), dtype=torch.bool),
        num_unpadded_tokens_tensors=[torch.tensor(TOKENS)],
    )


def router(state: Any, settings: ExpertsSettings) -> Any:
    """The plugin's router around one that sends each token to the experts 2 and 3."""
    from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter

    class Inner(BaseRouter):  # type: ignore[misc]  # no vLLM where types are checked
        routing_method_type = None

        def _compute_routing(self, hidden_states: Any, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            ids = torch.tensor([[2, 3]], dtype=torch.int32).repeat(len(hidden_states), 1)
            return torch.full(ids.shape, 0.5), ids

    bound = LayerBound(
        RouterRule("softmax"),
        experts=EXPERTS,
        slot=DroppedSlot.MINUS_ONE,
        most_rounds=2,
        traced=False,
        device=CPU,
    )
    layer = ExpertsLayer(
        ranks=linear(EXPERTS, 2), rank_count=2, device=CPU, floor=1, traced=False, bound=bound
    )
    layer.hold(settings)
    return router_class()(Inner(TOP_K, EXPERTS, state), layer)


def select(wrapped: Any) -> Tensor:
    _, ids = wrapped.select_experts(torch.zeros(TOKENS, 8), torch.zeros(TOKENS, EXPERTS))
    found: Tensor = ids
    return found


OFFERED = [0, 0, TOKENS, TOKENS // 2, 0, TOKENS // 2]


@pytest.mark.parametrize("strategy", ["drop", "reroute"])
def test_eplb_records_what_the_models_router_chose(state: Any, strategy: str) -> None:
    settings = ExpertsSettings.read(
        {"mode": "enforce", "gamma_thousandths": 1000, "strategy": strategy, "min_tokens": 1}
    )
    ids = select(router(state, settings))
    assert state.expert_load_view.tolist() == OFFERED
    left = torch.bincount(ids[ids >= 0].long(), minlength=REPLICA + 1)
    assert left.tolist() != OFFERED
    assert left.sum() == (TOKENS if strategy == "drop" else TOP_K * TOKENS)


def test_without_a_bound_eplb_records_once(state: Any) -> None:
    ids = select(router(state, ExpertsSettings()))
    assert state.expert_load_view.tolist() == OFFERED
    assert torch.bincount(ids.flatten().long(), minlength=REPLICA + 1).tolist() == OFFERED


def test_nothing_is_recorded_while_eplb_records_nothing(state: Any) -> None:
    state.should_record_tensor.fill_(False)
    settings = ExpertsSettings(mode="enforce", gamma_thousandths=1000, min_tokens=1)
    select(router(state, settings))
    assert not state.expert_load_view.any()


class Worker:
    """vLLM's worker of a rank, as far as EPLB's steps are read."""

    def __init__(self, state: Any) -> None:
        self.model_runner = type("Runner", (), {"eplb_state": state})


class Stepped:
    """vLLM's state of EPLB."""

    expert_rearrangement_step, expert_rearrangement_step_interval = 9_100, 3_000


def test_the_steps_of_eplb_are_read_where_there_is_one() -> None:
    assert worker_rpc.counts(Worker(Stepped()))["eplb"] == {
        "steps_since_rearranged": 9_100,
        "step_interval": 3_000,
    }
    assert worker_rpc.counts(Worker(None))["eplb"] is None
    assert worker_rpc.counts()["eplb"] is None
