"""
Watches on what a node must never do, put around the calls with which it does it.

Each adds the node's name to a list: that it raised a limit as it stepped down, that it reported
less than its GPUs may draw, that it was raised by somebody who doesn't lead any more.
"""

from collections.abc import Callable
from typing import Final

from loadline_policies.power.protocol.messages import Epoch, Lease, Report
from loadline_policies.power.protocol.node_states import UNREADABLE_AFTER_S
from loadline_sim.virtual.agents import Agent
from testbed.shaken_rows.papers import Paper

FORMER_S: Final = 12.0
"""How long a former leader may raise: for ten seconds after its last renewal, away from the API server, since
nobody takes a Kubernetes Lease sooner by its rules; and for as long as an order may be on its way."""

SEEN_S: Final = 1.5
"""By when a node has read back what somebody else wrote, on GPUs that it can read."""


def watch_steps(agent: Agent, paper: Paper, raised: list[str]) -> None:
    """Note the node whenever its limits, once it stepped down, are ordered higher than they were."""
    step_down = agent.gpus.step_down

    def watched(now: float) -> None:
        before, told = list(paper.limits), len(paper.orders)
        step_down(now)
        if any(watts > before[index] for index, watts in paper.orders[told:]):
            raised.append(agent.name)

    agent.gpus.step_down = watched  # type: ignore[method-assign]


def watch_reports(agent: Agent, paper: Paper, understated: list[str]) -> None:
    """Note the node whenever it reports less than its GPUs may draw, by limits that it ordered itself."""
    send = agent._send

    def watched(report: Report) -> None:
        uuids = (gpu.uuid for gpu in paper.rating.gpus)
        limits = dict(
            zip(uuids, zip(paper.enforced_watts(), paper.requested_watts(), strict=True), strict=True)
        )
        seen_s = SEEN_S + (UNREADABLE_AFTER_S if agent.gpus.lost else 0.0)
        settled = paper.world.now - paper.raised_s > seen_s
        if settled and any(gpu.enforced_watts + 1.0 < max(limits[gpu.uuid]) for gpu in report.gpus):
            understated.append(agent.name)
        send(report)

    agent._send = watched  # type: ignore[method-assign]


def watch_leases(
    agent: Agent, paper: Paper, raised: list[str], *, succeeded_s: Callable[[Epoch], float]
) -> None:
    """Note the node whenever a former leader raises it above its safe limits.

    `succeeded_s` says for how long another epoch has stood in the Kubernetes Lease.
    """
    carry_out = agent.gpus.carry_out

    def watched(lease: Lease, deadline_s: float, now: float) -> int:
        pairs = zip(lease.limits, paper.requested_watts(), strict=False)  # a release has no limits
        higher = any(one.watts > max(held, one.safe_watts) + 1.0 for one, held in pairs)
        if higher and succeeded_s(lease.epoch) > FORMER_S:
            raised.append(agent.name)
        return carry_out(lease, deadline_s, now)

    agent.gpus.carry_out = watched  # type: ignore[method-assign]
