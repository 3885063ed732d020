"""
A coordinator's hand in relief: when anybody may be let off a cap, and what that makes of the orders.

`relief_claims` says who may ask and `reliefs` decides; here is what the coordinator knows
besides. Nobody is let off while nothing is enforced, the row brakes or is held at its
safe limits, the policy caps nobody of high priority, or the coordinator is too unsure
to raise. What was decided last is kept here, and nowhere else: a new coordinator
begins with nobody relieved.
"""

from collections.abc import Callable
from dataclasses import replace

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import Raising, RowOrders
from loadline_policies.power.protocol.relief_claims import claims_of
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.relief.reliefs import End, Relief, Relieve, Room, State
from loadline_policies.power.rows import FREE, deeper

DECIDE_EVERY_S = 0.25
"""How often claims are looked at: it costs some ten times what the rest of a report does. Chosen.

What takes relief back for the whole row is looked at with every report.
"""


class Reliever:
    """Lets single GPUs off their class's cap. `relief` is what was decided last."""

    def __init__(self, relieve: Relieve) -> None:
        self.relief = Relief()
        self._relieve, self._state = relieve, State()
        self._decided_s = float("-inf")

    def relieved(
        self,
        orders: RowOrders,
        domain: Domain,
        members: Roster,
        *,
        watts: float,
        raising: Callable[[], Raising],
        now: float,
    ) -> RowOrders:
        """The orders with those let off who miss their objective, and low priority held back while some wait.

        `watts` is the row's draw. `raising` is asked only when it matters, since it looks at every member.
        """
        room = Room(
            watts=watts,
            bound_watts=orders.caps.relief_load * domain.budget_watts,
            settle_s=domain.timings.settle_s,
            low=orders.caps.low,
            shut=_shut(orders, domain, raising=raising),
        )
        if room.closed is not None:
            if self._state != State(low=room.low):  # else there is nothing to take back
                self._decide((), room, now=now)
        elif now - self._decided_s >= DECIDE_EVERY_S:
            self._decide(claims_of(members, domain, orders.caps.high, now=now), room, now=now)
        return self._orders(orders)

    def _decide(self, claims: tuple[Claim, ...], room: Room, *, now: float) -> None:
        self.relief, self._state = self._relieve(claims, room, self._state, now)
        self._decided_s = now

    def _orders(self, orders: RowOrders) -> RowOrders:
        caps, relieved = orders.caps, self.relief.gpus
        if not relieved and self.relief.low == caps.low:
            return orders
        next_load = min(caps.next_load, caps.relief_load) if relieved else caps.next_load
        caps = replace(caps, low=deeper(caps.low, self.relief.low), next_load=next_load)
        return replace(orders, caps=caps, relieved=relieved)


def _shut(orders: RowOrders, domain: Domain, *, raising: Callable[[], Raising]) -> End | None:
    """Why nobody may be let off a cap now, however much room there is."""
    if not (domain.enforce and domain.document.slo_relief):
        return End.OFF
    if orders.held:
        return End.HELD
    if orders.caps.brake:
        return End.BRAKE
    if orders.caps.high == FREE:
        return End.UNCAPPED
    return None if raising() is Raising.FREELY else End.UNSURE
