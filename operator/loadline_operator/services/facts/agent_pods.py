"""
Whether the agent that told something of services still speaks.

What a node's agent says of services (held back, in time, plugin) stays in its NodeCapacity
when it dies, and would be believed as long as the node is there. The kubelet knows better:
an agent runs in a pod, which is ready or isn't. A node whose agent hasn't been ready for a
while is silent, and what it said is forgotten until it speaks again. A while, since a
rollout replaces every agent within seconds, and nobody's status shall turn twice for it.

A node on which no pod of an agent was ever seen is believed: agents may be processes of
somebody's own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loadline_operator.kube.fact_tables import Groups
from loadline_operator.kube.kinds import Key, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """An agent's pod: its node, and whether the kubelet finds it ready."""

    node: str
    ready: bool


def agent_pod(raw: Manifest) -> AgentPod:
    """The fact of a pod; one that is being deleted is on its way out already."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    going = "deletionTimestamp" in raw["metadata"]
    return AgentPod(node=(raw.get("spec") or {}).get("nodeName", ""), ready=ready and not going)


class AgentPods:
    """The agents' pods, and since when nodes have none that is ready. `clock` is in seconds."""

    def __init__(self, *, silent_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.silent_after_s, self._clock = silent_after_s, clock
        self.table: Groups[AgentPod, str] = Groups(lambda key, fact: fact.node)
        self._quiet_since_s: dict[str, float | None] = {}

    def see(self, raw: Manifest, gone: bool) -> frozenset[str]:
        """An event of a pod; the nodes whose agent has begun or ceased to be ready."""
        key = Key.of(raw)
        before = self.table.get(key)
        self.table.see(raw, gone=gone, read=agent_pod)
        nodes = {fact.node for fact in (before, self.table.get(key)) if fact is not None and fact.node}
        return frozenset(node for node in nodes if self._turned(node))

    def silent(self, node: str) -> bool:
        """Whether nothing that the node's agent has said may be believed any more."""
        quiet_s = self._quiet_s(node)
        return quiet_s is not None and quiet_s >= self.silent_after_s

    def fades(self, node: str) -> bool:
        """Whether the node will be silent before long, unless its agent is ready again."""
        return self._quiet_s(node) is not None and not self.silent(node)

    def _quiet_s(self, node: str) -> float | None:
        """For how long no agent of the node has been ready; None while one is, or none was ever seen."""
        if node not in self._quiet_since_s:
            return None
        self._turned(node)
        since_s = self._quiet_since_s[node]
        return self._clock() - since_s if since_s is not None else None

    def _turned(self, node: str) -> bool:
        """Look at the node's pods again; whether it has become quiet, or isn't any more."""
        speaks = any(one.ready for one in self.table.of(node).values())
        was_quiet = self._quiet_since_s.get(node) is not None
        if speaks:
            self._quiet_since_s[node] = None
        elif not was_quiet:
            self._quiet_since_s[node] = self._clock()
        return speaks == was_quiet
