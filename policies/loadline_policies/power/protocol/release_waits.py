"""
Whether releases make progress: who is armed and shouldn't be, and since when nobody could be let go.

A release goes by headroom, so that it may wait for ever in a row that is always full. Nothing is
raised for that: after ten minutes it is said which nodes wait and how many watts the next of
them lacks, and a person decides. A successor counts its ten minutes anew.
"""

from typing import Final

from loadline_policies.power.protocol.domain_states import ReleaseWait
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.lease_acts import lacking_watts, wanted
from loadline_policies.power.protocol.rosters import Roster

WAITS_AFTER_S: Final = 600.0
"""For how long nobody could be released before people are told. From the protocol's rule."""


class ReleaseWaits:
    """Follows who waits; times are the coordinator's."""

    def __init__(self) -> None:
        self._nodes: frozenset[str] = frozenset()
        self._since_s = float("-inf")

    def look(self, members: Roster, domain: Domain, now: float) -> None:
        """Note who waits; where one of them is let go, or nobody waited, the time begins anew."""
        nodes = frozenset([one.name for one in members.values() if one.armed and not wanted(one, domain)])
        if not self._nodes <= nodes or not self._nodes:
            self._since_s = now
        self._nodes = nodes

    def state(self, members: Roster, domain: Domain, now: float) -> ReleaseWait | None:
        """Who waits for what; None if nobody does."""
        waiting = [members[name] for name in sorted(self._nodes & members.keys())]
        if not waiting:
            return None
        return ReleaseWait(
            nodes=tuple([one.name for one in waiting]),
            lacking_watts=max(0.0, lacking_watts(waiting, members, domain, now=now)),
            long=now - self._since_s >= WAITS_AFTER_S,
        )
