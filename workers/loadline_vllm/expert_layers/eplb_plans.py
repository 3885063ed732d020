"""
Plans a placement of experts by vLLM's own algorithm, EPLB, away from the engine's ranks.

An engine with EPLB plans by itself, from what it counted. This is for whoever wants to know what such a plan
would gain before it is in force: how much redundancy pays (`loadline_policies.experts.redundancies`), and
whether the present placement still fits (`drifts`). It runs on a CPU.
"""

from collections.abc import Sequence

import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.experts.placements import Placement


def planned(loads: Sequence[float], *, physical: int, ranks: int) -> Placement:
    """The placement of `physical` experts on `ranks`, without regard to nodes.

    `loads` has those of each logical expert over whole batches: of the tokens of all ranks, since one rank's
    tokens say little about the others'.
    """
    from vllm.distributed.eplb.policy import DefaultEplbPolicy

    if physical % ranks or physical < len(loads):
        raise InvalidInput(
            "physical",
            physical,
            fix=f"give a multiple of {ranks} ranks, and no fewer than {len(loads)} experts",
        )
    plan = DefaultEplbPolicy.rebalance_experts(torch.tensor([loads]), physical, 1, 1, ranks)
    return Placement(tuple(map(tuple, plan.view(ranks, -1).tolist())))
