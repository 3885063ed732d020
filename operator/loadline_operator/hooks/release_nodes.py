"""
Restores all original GPU limits before Loadline is removed, while the agents that can do it still run.

A node whose agent is deleted keeps its limits, and nothing raises them any more. So before `helm
uninstall` deletes anything, this hook sets every PowerDomain to mode Observe, which makes the
coordinators release their nodes one by one within the headroom, and waits until no NodeCapacity reports
limits set by Loadline. If that takes too long, the hook fails with the nodes' names, which stops the
removal; `--no-hooks` removes all the same.

PowerDomains stay, in mode Observe: after another install they only observe.

    python -m loadline_operator.releases
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS, STATE_DIRECTORY
from loadline_api.power_domains import Mode
from loadline_api.reasons import Reason
from loadline_api.visible_texts import visible_lines
from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed, enforces, find_enforcing
from loadline_operator.kube.kinds import Manifest

MANAGER = "loadline-release"
TIMEOUT_S = 240
PAUSE_S = 1.0

CALM_S = 20.0
"""If no node has enforced limits for so long, a PowerDomain whose condition Enforcing is still True has no
coordinator. Chosen: a node that is being armed reports so within a second or two."""


@dataclass(frozen=True, slots=True)
class Held:
    """The nodes and domains that are not released yet; `waits` are the coordinators' messages about why."""

    nodes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (("node", self.nodes), ("domain", self.domains))
        return ", ".join(f"{word} {name}" for word, names in parts for name in names)


@dataclass(slots=True)
class Calm:
    """Since when no node enforces limits, in seconds of a monotonic clock."""

    since_s: float | None = None

    def reached(self, held: Held, now: float) -> bool:
        """Whether no node enforces limits, and no domain is about to arm one."""
        if held.nodes:
            self.since_s = None
            return False
        self.since_s = now if self.since_s is None else self.since_s
        return not held.domains or now - self.since_s >= CALM_S


def main(arguments: Sequence[str] | None = None) -> int:
    """Release all nodes; 0 once no node is armed."""
    summary = (
        "Set every PowerDomain to mode Observe and wait until every node has its original GPU limits back."
    )
    module = "loadline_operator.releases"
    return jobs.run(release, jobs.parser(module, summary, timeout_s=TIMEOUT_S).parse_args(arguments))


async def release(api: Api, options: argparse.Namespace) -> None:
    """Set mode Observe everywhere, then wait until all nodes are released."""
    for domain in await api.items(POWER_DOMAINS):
        if domain["spec"].get("mode") == Mode.ENFORCE:
            name = domain["metadata"]["name"]
            observe = {"spec": {"mode": Mode.OBSERVE.value}}
            await api.patch(POWER_DOMAINS.path(name), observe, query={"fieldManager": MANAGER})
            print(f"PowerDomain {name}: changed mode Enforce to Observe; set it back after another install")
    await _wait(api, Calm())
    print("no node enforces GPU limits of Loadline any more")


def held(domains: Sequence[Manifest], nodes: Sequence[Manifest]) -> Held:
    """Nodes that are armed, and domains whose coordinator has not reported yet that it only observes."""
    return Held(nodes=_enforcing(nodes), domains=_enforcing(domains), waits=_waits(domains))


async def _wait(api: Api, calm: Calm) -> None:
    printed = ""
    while not calm.reached(still := await _held(api), time.monotonic()):
        if str(still) != printed:
            printed = str(still)
            print(visible_lines(f"waiting for the release of {printed}"), flush=True)
        if api.over:
            raise HookFailed(unreleased(still))
        await asyncio.sleep(PAUSE_S)
    for domain in still.domains:
        print(
            f"PowerDomain {domain}: condition Enforcing is still True, but no node enforces limits: it has no"
            " coordinator that would update it"
        )


def unreleased(still: Held) -> str:
    """What is not released when the time is over, why, and what an administrator can do."""
    waits = "".join(f" {sentence}" for sentence in still.waits)
    return (
        f"not released in time: {still}.{waits} The coordinator releases a node only if the domain's budget"
        " covers the most that the node may draw afterwards. So reduce the load on the domain, raise"
        " budgetWatts, or run `loadline release --node NAME` for each of these nodes, which doesn't wait for"
        f" headroom. On a node without an agent, run `loadline-agent release --state {STATE_DIRECTORY}` and"
        " delete its NodeCapacity. Then repeat `helm uninstall`. `helm uninstall --no-hooks` removes Loadline"
        " at once and leaves these limits in force"
    )


def _waits(domains: Sequence[Manifest]) -> tuple[str, ...]:
    """The coordinators' messages about releases under way."""
    rows = ((one["metadata"]["name"], find_enforcing(one)) for one in domains)
    return tuple(
        f"PowerDomain {name}: {found['reason']}: {found.get('message', '')}"
        for name, found in sorted(rows, key=lambda row: str(row[0]))
        if found is not None and found["reason"] in (Reason.RELEASING, Reason.RELEASE_WAITS)
    )


async def _held(api: Api) -> Held:
    return held(await api.items(POWER_DOMAINS), await api.items(NODE_CAPACITIES))


def _enforcing(objects: Sequence[Manifest]) -> tuple[str, ...]:
    return tuple(sorted(one["metadata"]["name"] for one in objects if enforces(one)))
