"""
Gives all limits back before Loadline is removed, while there are agents that can do it.

A node whose agent is deleted keeps its limits: nobody raises them any more. So before
`helm uninstall` deletes anything, this hook puts every domain to Observe, which makes the
coordinators release their nodes, paced and by headroom, and waits until no node says that
limits of ours are in force. What can't be released in time fails the hook and so stops
the removal, with the nodes' names; `--no-hooks` removes all the same.

Domains, and their mode, stay: after another install they only observe.

    python -m loadline_operator.releases
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadline_api.conditions import Reason
from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS, STATE_DIRECTORY
from loadline_api.power_domains import Mode
from loadline_api.visible_texts import visible_lines
from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed, enforces, find_enforcing
from loadline_operator.kube.kinds import Manifest

MANAGER = "loadline-release"
TIMEOUT_S = 240
PAUSE_S = 1.0

CALM_S = 20.0
"""How long no node may hold anything before a domain that still says Enforcing is taken for one without a
coordinator. Chosen: a node that was just about to be armed says so within a second or two."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is not released yet, by name; `waits` are the coordinators' own sentences on why."""

    nodes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (("node", self.nodes), ("domain", self.domains))
        return ", ".join(f"{word} {name}" for word, names in parts for name in names)


@dataclass(slots=True)
class Calm:
    """Since when no node holds anything, in seconds on one monotonic clock."""

    since_s: float | None = None

    def reached(self, held: Held, now: float) -> bool:
        """Whether nothing is held any more, as far as hardware goes."""
        if held.nodes:
            self.since_s = None
            return False
        self.since_s = now if self.since_s is None else self.since_s
        return not held.domains or now - self.since_s >= CALM_S


def main(arguments: Sequence[str] | None = None) -> int:
    """Release all; 0 once no node is armed."""
    summary = "Put every PowerDomain to Observe and wait until no node holds limits of ours."
    module = "loadline_operator.releases"
    return jobs.run(release, jobs.parser(module, summary, timeout_s=TIMEOUT_S).parse_args(arguments))


async def release(api: Api, options: argparse.Namespace) -> None:
    """Observe everywhere, then wait."""
    for domain in await api.items(POWER_DOMAINS):
        if domain["spec"].get("mode") == Mode.ENFORCE:
            name = domain["metadata"]["name"]
            observe = {"spec": {"mode": Mode.OBSERVE.value}}
            await api.patch(POWER_DOMAINS.path(name), observe, query={"fieldManager": MANAGER})
            print(f"PowerDomain {name}: mode Enforce -> Observe; set it back after another install")
    await _wait(api, Calm())
    print("no node holds limits of Loadline's")


def held(domains: Sequence[Manifest], nodes: Sequence[Manifest]) -> Held:
    """Nodes that are armed, and domains whose coordinator has not said yet that it only observes."""
    return Held(nodes=_enforcing(nodes), domains=_enforcing(domains), waits=_waits(domains))


async def _wait(api: Api, calm: Calm) -> None:
    said = ""
    while not calm.reached(still := await _held(api), time.monotonic()):
        if str(still) != said:
            said = str(still)
            print(visible_lines(f"waiting for {said}"), flush=True)
        if api.over:
            raise HookFailed(unreleased(still))
        await asyncio.sleep(PAUSE_S)
    for domain in still.domains:
        print(f"PowerDomain {domain} still says Enforcing, but no node does: it has no coordinator")


def unreleased(still: Held) -> str:
    """What is left when the time is over, why, and what a person can do about it."""
    waits = "".join(f" {sentence}" for sentence in still.waits)
    return (
        f"not released in time: {still}.{waits} A domain lets a node go only when its budget bears all that"
        " the node may then draw: take load off it, raise budgetWatts, or run `loadline release --node NAME`"
        " for each of these nodes, which asks for no headroom. Where an agent is gone, run"
        f" `loadline-agent release --state {STATE_DIRECTORY}` on the node and delete its NodeCapacity."
        " Then uninstall again. `helm uninstall --no-hooks` removes Loadline at once, and leaves these"
        " limits as they are"
    )


def _waits(domains: Sequence[Manifest]) -> tuple[str, ...]:
    """What coordinators say of releases under way."""
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
