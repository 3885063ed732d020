"""
Takes the start-up taint off a node once its agent is there.

A node that is born with the taint gets no engine before somebody watches its watts. The
agent itself may not touch Nodes; it says in its NodeCapacity what it sees of the GPUs,
and that is what is waited for. A NodeCapacity belongs to one Node by uid, so what the
agent of a former node of that name has left proves nothing.

Only where the chart asks for it: the right to patch nodes is given then and not before.
"""

from dataclasses import dataclass
from functools import partial

import structlog

from loadline_api.api_errors import Invalid, NotFound
from loadline_api.conditions import ConditionType, find
from loadline_api.names import STARTUP_TAINT
from loadline_api.node_capacities import NodeCapacity
from loadline_operator.contexts import Context
from loadline_operator.kube.controllers import Controller, Watched
from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import NODE_CAPACITIES, NODES, Key, Kind, Manifest

log = structlog.get_logger("loadline.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Which Node an object is or is of, and what keeps it waiting: a taint there, an untold GPU here."""

    node_uid: str
    waits: bool


class StartupTaints(Controller[Key]):
    """The start-up taints of all nodes."""

    name = "nodes"

    def __init__(self, context: Context) -> None:
        super().__init__(context.metrics)
        self._context = context
        self.tables: dict[Kind, FactTable[Sight]] = {NODES: FactTable(), NODE_CAPACITIES: FactTable()}

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Nodes and their capacities."""
        return tuple(Watched(kind, table, partial(self.see, kind)) for kind, table in self.tables.items())

    def see(self, kind: Kind, raw: Manifest, gone: bool) -> None:
        """An event: look at the node, if something of interest moved."""
        key, read = Key.of(raw), partial(self._context.fact, kind, _node if kind is NODES else _capacity)
        if self.tables[kind].see(raw, gone=gone, read=read) and self._is_due(key):
            self.work_queue.add(key)

    def wake(self) -> None:
        """Look at every node that may need it."""
        for key in self.tables[NODES].uids():
            if self._is_due(key):
                self.work_queue.add(key)

    def _is_due(self, key: Key) -> bool:
        node, capacity = self.tables[NODES].get(key), self.tables[NODE_CAPACITIES].get(key)
        if node is None or capacity is None:
            return False
        return node.waits and not capacity.waits and node.node_uid == capacity.node_uid

    async def reconcile(self, key: Key) -> None:
        """Take the taint off the node, unless it is off already."""
        raw = await self._context.applier.get(NODES, key)
        operations = untaint(raw) if raw is not None and self._is_due(key) else []
        if not operations:
            return
        try:
            await self._context.applier.patch(NODES, key, operations)
        except (NotFound, Invalid):  # gone, or somebody else has changed the taints meanwhile
            self.work_queue.add(key)
            return
        self._context.metrics.writes.labels("nodes").inc()
        reason = "its agent reports"
        self._context.journal.write(
            self.name,
            kind=NODES.kind,
            name=str(key),
            observation={},
            decision=["took the taint off"],
            reason=reason,
        )
        log.info("a node may take pods now", node=key.name, reason=reason)


def untaint(node: Manifest) -> list[Manifest]:
    """The JSON patch that takes the taint off, if the taints still are what was read."""
    taints = node["spec"].get("taints") or []
    kept = [one for one in taints if one["key"] != STARTUP_TAINT]
    if len(kept) == len(taints):
        return []
    test = {"op": "test", "path": "/spec/taints", "value": taints}
    return [test, {"op": "replace", "path": "/spec/taints", "value": kept}]


def _node(raw: Manifest) -> Sight:
    taints = raw["spec"].get("taints") or ()
    return Sight(node_uid=raw["metadata"]["uid"], waits=any(one["key"] == STARTUP_TAINT for one in taints))


def _capacity(raw: Manifest) -> Sight:
    owners = raw["metadata"].get("ownerReferences") or ()
    ready = find(NodeCapacity.parse(raw).status.conditions, ConditionType.GPUS_READY)
    told = ready is not None and ready.status != "Unknown"
    return Sight(node_uid=next((one["uid"] for one in owners if one["kind"] == "Node"), ""), waits=not told)
