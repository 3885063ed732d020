"""
What was read back of each GPU's limits, and what that proves of the GPU.

What a GPU holds is believed as read back and no other way. A limit that was written and doesn't show
within the time that limits take to settle has failed, whatever the setter answered. And what was read
says nothing any more once a GPU hasn't answered for some looks.
"""

from collections.abc import Iterable

from loadline_agent.hardware.limits import SETTLE_S, HeldLimit, Outcome
from loadline_agent.hardware.orders import same
from loadline_policies.power.protocol.node_states import UNREADABLE_AFTER_S
from loadline_policies.power.protocol.write_proofs import WriteProof


class ReadBacks:
    """The limits last read back, in `held` by UUID, and the proofs of the writes before.

    `looked_s` is when the limits were read last. Times are of one clock, in seconds.
    """

    def __init__(self) -> None:
        self.held: dict[str, HeldLimit] = {}
        self.looked_s = float("-inf")
        self._read_s: dict[str, float] = {}
        self._proofs: dict[str, WriteProof] = {}
        self._unread: dict[str, float] = {}
        self._written_s = float("-inf")

    def take_in(self, uuids: Iterable[str]) -> None:
        """Follow these GPUs too."""
        for uuid in uuids:
            self._proofs.setdefault(uuid, WriteProof())

    def forget(self) -> None:
        """Believe nothing any more of what an earlier driver said, or proved."""
        for known in (self.held, self._read_s, self._proofs, self._unread):
            known.clear()

    def looked(self, held: Iterable[HeldLimit], now: float) -> None:
        """Take what a look has read, of the GPUs that answered."""
        self.looked_s = now
        for one in held:
            self.held[one.uuid], self._read_s[one.uuid] = one, now

    def unreadable(self, uuid: str) -> bool:
        """Whether a GPU hasn't answered looks for so long that anything may hold there."""
        return self.looked_s - self._read_s.get(uuid, float("-inf")) > UNREADABLE_AFTER_S

    def known(self, uuid: str) -> HeldLimit | None:
        """What was read of a GPU last, as long as that says anything."""
        return None if self.unreadable(uuid) else self.held.get(uuid)

    def just_read(self, uuid: str) -> HeldLimit | None:
        """What the last look has read of a GPU: what an earlier one did may be of before our own write."""
        return self.held.get(uuid) if self._read_s.get(uuid) == self.looked_s else None

    def able(self, uuid: str) -> bool:
        """Whether nothing speaks against the GPU's being lowered."""
        return self._proofs[uuid].able

    def proven(self, uuid: str) -> bool:
        """Whether a write that changed the GPU's limit was read back."""
        return self._proofs[uuid].proven

    def wrote(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Hold each failure against its GPU, and await each write."""
        for outcome in outcomes:
            if outcome.uuid not in self._proofs:
                continue  # the record names it, and it wasn't here when this process began
            if outcome.error is not None and not outcome.of_clock and not outcome.unasked:
                self._proofs[outcome.uuid].failed()
            if outcome.limit_watts is not None:
                self._unread[outcome.uuid] = outcome.limit_watts
                self._written_s = now

    def await_none(self) -> None:
        """Await no write any more: somebody else has written since."""
        self._unread.clear()

    def check(self, now: float) -> list[str]:
        """Hold what is read against what was written; the GPUs on which a write was found now.

        What isn't there in time has failed, and so has each GPU that can't be read.
        """
        found = []
        for uuid in filter(self.unreadable, self._proofs):
            self._proofs[uuid].failed()
        for uuid, watts in list(self._unread.items()):
            held = self.just_read(uuid)
            if held is not None and same(held.requested_watts, watts):
                self._proofs[uuid].succeeded(now)
                found.append(uuid)
            elif now - self._written_s >= SETTLE_S:
                self._proofs[uuid].failed()
            else:
                continue
            del self._unread[uuid]
        return found
