"""
The router that stands around a model's own one, counts what it chose, and may bound it.

It is one of vLLM's routers itself, and only computes the choice, by asking the model's own. What vLLM's base
class does with a choice stays in vLLM: the map from logical to physical experts, EPLB's record of loads, the
capture of routed experts and the type of the ids.

EPLB places experts by what it records, and a bound would hide from it the load of the experts that need
replicas most. So where a bound has changed the choice, EPLB records what the model's router chose.
"""

from functools import cache
from typing import Any

import torch

from loadline_vllm.expert_layers.layers import ExpertsLayer


@cache
def router_class() -> type[Any]:
    """The class, made once in a process: its base is vLLM's, which is imported here only."""
    from vllm.forward_context import get_forward_context, is_forward_context_available
    from vllm.model_executor.layers.fused_moe.router import base_router

    class ExpertsRouter(base_router.BaseRouter):
        """A model's own router, whose choice is counted and may be bounded."""

        def __init__(self, inner: Any, layer: ExpertsLayer) -> None:
            super().__init__(inner.top_k, inner.global_num_experts, inner.eplb_state)
            self.inner, self.layer = inner, layer
            self._offered: Any = None
            self.bias_vl, self.image_sentinel_lo = inner.bias_vl, inner.image_sentinel_lo

        @property
        def routing_method_type(self) -> Any:
            """The method of the model's own router, by which it chooses."""
            return self.inner.routing_method_type

        def _compute_routing(
            self, hidden_states: Any, router_logits: Any, indices_type: Any, *, input_ids: Any = None
        ) -> tuple[Any, Any]:
            weights, ids = self.inner._compute_routing(
                hidden_states, router_logits, indices_type, input_ids=input_ids
            )
            left = self.layer.route(router_logits, ids, weights, real=real_rows(ids.shape[0]))
            if self.eplb_state is not None:
                self._offered = None if left[1] is ids else ids
            return left

        def _apply_eplb_mapping(self, topk_ids: Any) -> Any:
            """Map what is left of a choice, while EPLB records the choice itself."""
            if self._offered is None:
                return super()._apply_eplb_mapping(topk_ids)
            offered, self._offered = self._offered, None
            super()._apply_eplb_mapping(offered)
            state = self.eplb_state
            return base_router.eplb_map_to_physical_and_record(
                topk_ids=topk_ids,
                expert_load_view=state.expert_load_view,
                logical_to_physical_map=state.logical_to_physical_map,
                logical_replica_count=state.logical_replica_count,
                record_enabled=torch.zeros_like(state.should_record_tensor),
                num_unpadded_tokens=state.num_unpadded_tokens_tensors[0],  # no two halves of a batch
            )

    def real_rows(count: int) -> Any:
        """The mask of the rows that are no padding; None where vLLM has none, and all are real."""
        if not is_forward_context_available():
            return None
        padding = get_forward_context().is_padding
        return None if padding is None else ~padding[:count]

    return ExpertsRouter
