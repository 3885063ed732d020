"""
Drills of one coordinator: which orders it obeys, how long it holds, and what it reads back meanwhile.

A drill may only lower. While it holds, every GPU is at its safe limit or below, as when the
breaker is hot; it raises nobody, disarms nobody and ends by the coordinator's own clock. Since
a row that is held draws less, policy and relief are shown no less than what the row drew before until the
meter can have it back, and nobody is released: else a drill would free what was held before it.

An order that was there before this coordinator is not obeyed: it may be a predecessor's, half
done or long over. So none is ever repeated, and what is left behind does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.drill_states import (
    LONGEST_S,
    SHORTEST_S,
    DrilledNode,
    DrillOrder,
    DrillOutcome,
    DrillState,
)
from loadline_policies.power.protocol.gpu_limits import HoldReason, Raising
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.protocol.rosters import Roster

OLDEST_S: Final = 30.0
"""How old an order may be: whoever gave it waits for it, and longer nobody does. Chosen."""

AHEAD_S: Final = 10.0
"""How far an order may lie ahead, where the clocks of nodes and API server differ. Chosen."""

NAMED: Final = 5
"""Nodes that a sentence names."""

FOUND: Final = "it was there before this coordinator, and may be a drill that is over: order another one"


@dataclass(slots=True)
class _Seen:
    """One GPU under the hold's orders; `first_s` is None until it was at or below safe."""

    over_watts: float
    first_s: float | None = None
    rose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBefore:
    """The row at the moment when a hold begins. `sequence` is that of the last lease before it."""

    members: Roster
    watts: float
    hot_watts: float
    safe_watts: float
    budget_watts: float
    sequence: int
    settle_s: float


class Drills:
    """At most one at a time; `found` is the order that was there before its coordinator."""

    def __init__(self, found: DrillOrder | None) -> None:
        self._state: DrillState | None = None
        self._heard = found.text if found is not None else ""
        self._latest_s = float("-inf")
        self._began_s = self._until_s = self._ended_s = float("-inf")
        self._settle_s = self._watts = 0.0
        self._sequence = 0
        self._gpus: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, dict[str, _Seen]] = {}
        self._highest_watts: float | None = None
        if found is not None:
            self._latest_s = found.requested_s if not found.problem else self._latest_s
            self._state = _refused(found, found.problem or FOUND)

    def hear(
        self,
        order: DrillOrder | None,
        *,
        obstacle: Callable[[], str],
        row: Callable[[], RowBefore],
        now: float,
    ) -> None:
        """Take the order that stands now: it begins a hold or is refused; None ends one.

        `obstacle` says why the row can't be drilled now, `row` how it stands; only a new order asks for them.
        """
        if order is None:
            self.stop("its order was taken back", now)
            return
        if order.text == self._heard:
            return
        self._heard = order.text
        if self.holding(now):
            return  # one at a time: what stands of the first one goes on, and its own time ends it
        problem = self._problem(order, now) or obstacle()
        if problem:
            self._state = _refused(order, problem)
            return
        self._begin(order, row(), now)

    def stop(self, why: str, now: float) -> None:
        """End a hold before its time, if there is one."""
        if self.holding(now) and self._state is not None:
            self._state = replace(self._with_evidence(), outcome=DrillOutcome.STOPPED, message=why)
            self._until_s = self._ended_s = now

    def holding(self, now: float) -> bool:
        """Whether every GPU must be at its safe limit or below, because of a drill."""
        return now < self._until_s

    def reason(self, now: float) -> HoldReason:
        """The same as the reason why the row is held."""
        return HoldReason.DRILL if self.holding(now) else HoldReason.NOT

    def shadowing(self, now: float) -> bool:
        """Whether the row's meter may show less than it draws without the drill."""
        return now < self._ended_s + self._settle_s

    def shown_watts(self, watts: float, now: float) -> float:
        """The draw that policy and relief are shown: a drill makes no room for them."""
        return max(watts, self._watts) if self.shadowing(now) else watts

    def read(self, report: Report, given: Mapping[str, float], now: float) -> None:
        """Note what a node reads back; nothing that isn't an answer to the hold's own orders counts.

        The report is of this coordinator's epoch; `given` are the plan's safe limits.
        """
        if not self.holding(now) or report.node not in self._gpus or report.lease_sequence <= self._sequence:
            return
        seen = self._seen.setdefault(report.node, {})
        for gpu in report.gpus:
            safe_watts = min(gpu.safe_watts or 0.0, given.get(gpu.uuid, float("inf")))
            over_watts = gpu.enforced_watts - safe_watts
            over_watts = over_watts if over_watts > ROUNDING_WATTS else 0.0
            one = seen.setdefault(gpu.uuid, _Seen(over_watts))
            one.over_watts = over_watts
            one.rose |= over_watts > 0 and one.first_s is not None
            if not over_watts and one.first_s is None:
                one.first_s = now - self._began_s

    def weigh(self, hot_watts: float, now: float) -> None:
        """Note what the row draws, once limits and sensors had their time; end the hold when it is over."""
        if self.holding(now):
            if now - self._began_s >= self._settle_s:
                self._highest_watts = max(hot_watts, self._highest_watts or 0.0)
        elif self._state is not None and self._state.outcome is DrillOutcome.HOLDING:
            self._state = replace(self._with_evidence(), outcome=DrillOutcome.DONE)

    @property
    def last(self) -> DrillState | None:
        """The last order, with all that was seen until now."""
        holding = self._state is not None and self._state.outcome is DrillOutcome.HOLDING
        return self._with_evidence() if holding else self._state

    def _problem(self, order: DrillOrder, now: float) -> str:
        if order.problem:
            return order.problem
        age_s = order.age_s + (now - order.read_s)
        if age_s > OLDEST_S:
            return f"it is {age_s:.0f} s old, more than {OLDEST_S:.0f} s: order another one"
        if age_s < -AHEAD_S:
            return f"its time is {-age_s:.0f} s ahead, more than {AHEAD_S:.0f} s: set the clocks"
        if order.requested_s <= self._latest_s:
            return "its time isn't after that of the last drill: order another one"
        return ""

    def _begin(self, order: DrillOrder, row: RowBefore, now: float) -> None:
        self._latest_s = order.requested_s
        self._began_s = now
        self._until_s = self._ended_s = now + min(LONGEST_S, max(SHORTEST_S, order.seconds))
        self._settle_s, self._watts, self._sequence = row.settle_s, row.watts, row.sequence
        self._gpus = {
            name: tuple(gpu.uuid for gpu in member.rating.gpus) if member.rating is not None else ()
            for name, member in row.members.items()
        }
        self._seen, self._highest_watts = {}, None
        self._state = DrillState(
            order=order,
            outcome=DrillOutcome.HOLDING,
            begun_age_s=order.age_s + (now - order.read_s),
            watts_before=row.hot_watts,
            safe_watts=row.safe_watts,
            budget_watts=row.budget_watts,
        )

    def _with_evidence(self) -> DrillState:
        assert self._state is not None
        nodes = tuple([self._node(node, uuids) for node, uuids in sorted(self._gpus.items())])
        return replace(self._state, nodes=nodes, highest_watts=self._highest_watts)

    def _node(self, node: str, uuids: tuple[str, ...]) -> DrilledNode:
        seen = self._seen.get(node, {})
        read = [seen[uuid] for uuid in uuids if uuid in seen]
        times = [one.first_s for one in read if one.first_s is not None and not one.rose]
        whole = len(read) == len(uuids)
        return DrilledNode(
            node=node,
            gpus=len(uuids),
            gpus_at_safe=len(times),
            after_s=max(times, default=0.0) if len(times) == len(uuids) else None,
            over_watts=max((one.over_watts for one in read), default=0.0) if whole else None,
        )


def obstacle(domain: Domain, members: Roster, *, held: HoldReason, raising: Raising, now: float) -> str:
    """Why a row can't be drilled now; empty if it can."""
    unarmed = sorted(name for name, member in members.items() if not member.armed)
    silent = members.silent(now)
    if not domain.enforce:
        return "spec.mode is Observe: set it to Enforce, and wait until the domain is enforced"
    if silent:
        return f"nodes don't report: {', '.join(silent[:NAMED])}"
    if unarmed:
        return f"nodes aren't armed: {', '.join(unarmed[:NAMED])}"
    if held:
        return f"the row is held already ({held}): wait until it isn't"
    if raising is not Raising.FREELY:
        return "the coordinator isn't sure yet that it leads alone: try again in some seconds"
    return ""


def _refused(order: DrillOrder, why: str) -> DrillState:
    return DrillState(order=order, outcome=DrillOutcome.REFUSED, message=why)
