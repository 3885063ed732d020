"""
What a journal keeps of a power domain's decisions, and how they can be replayed from it.

A coordinator decides with every report, in a large row a thousand times a second, and nearly all of that
changes nothing. So a journal gets each decision that asks for other caps than the one before, and one in ten
seconds besides. A policy's state may move while its caps stay; that is written once a second. An entry holds
all that the policy was given, its state included, so each can be decided again by itself. Reliefs are kept in
the same way, whenever one begins, waits or ends.

Another policy has other thresholds, and may have moved at a load that was left out. With `observations`
the decisions at the lowest and at the highest load of each second are kept too. They go to the journal's
file only: in memory they would displace an hour of causes within minutes.

An entry names its policy's document by a hash, and `power/document` says what that document is: when it
takes effect, and once in a while besides, since files are replaced when they are full.
"""

import math
from collections.abc import Iterator
from typing import Final

from loadline_api.journals import Journal
from loadline_api.names import POWER_DOMAINS
from loadline_policies.decisions import Decision
from loadline_policies.documents import content_of
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.policy_runs import PolicyStep
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.relief.reliefs import Relief, Room, State
from loadline_policies.power.rows import Caps

PREFIX: Final = "power/"
"""The decider of a policy's decisions is this and the policy's name."""

RELIEF: Final = f"{PREFIX}relief"
DOCUMENT: Final = f"{PREFIX}document"

MOVED: Final = "moved"
UNMOVED: Final = "unmoved"
"""The reasons of a policy's entries: its state is another one now, or still the same."""

IN_FORCE: Final = "in force"
"""The reason of a document's entries."""

RECORD_EVERY_S: Final = 10.0
"""How often a row that changes nothing is written into the journal all the same. Chosen."""

MOVE_EVERY_S: Final = 1.0
"""How often a state is written that moves while the caps stay the same. Chosen."""

MOST_CHANGES: Final = 16
"""Changes of caps that are written in such a time: a policy with thresholds too close may flutter. Chosen."""

OBSERVE_EVERY_S: Final = 1.0
"""Of how many seconds the lowest and the highest load are kept. Chosen: as often as a row decides unasked."""

DOCUMENT_EVERY_S: Final = 600.0
"""How often the document in force is written again. Chosen: a file of the least size holds more."""


class PowerJournal:
    """Writes one coordinator's decisions into a journal."""

    def __init__(self, journal: Journal, *, observations: bool = False) -> None:
        self._journal = journal
        self._extremes = _Extremes() if observations else None
        self._written_s = self._documented_s = self._changes_since_s = -math.inf
        self._changes = 0
        self._caps: Caps | None = None
        self._documented = ""
        self._domain_name = ""

    def decided(self, step: PolicyStep, domain: Domain, epoch: Epoch) -> None:
        """Write a decision of the policy down, now, later or not at all."""
        self._domain_name = domain.name
        if self._is_due(step):
            self.flush()
            self._written_s = step.now
            self._write(step, domain, epoch)
        elif self._extremes is not None:
            self._write_all(self._extremes.take(step, domain, epoch))

    def relieve(  # noqa: PLR0917
        self, claims: tuple[Claim, ...], room: Room, state: State, now: float
    ) -> Decision[Relief, State]:
        """Decide who is let off a cap, and write it down if it is another one than before."""
        decision = reliefs.decide(claims, room, state, now)
        changes = reliefs.changes(state, decision.state)
        if changes:
            self._entry(
                RELIEF,
                observation={"claims": claims, "room": room, "now_s": now, "state": state},
                decision={"relief": decision.actions, "state": decision.state},
                reason="; ".join(changes),
            )
        return decision

    def flush(self) -> None:
        """Write what is still held back, when an epoch is over."""
        if self._extremes is not None:
            self._write_all(self._extremes.end())

    def _is_due(self, step: PolicyStep) -> bool:
        """Whether a decision is written by itself."""
        caps, self._caps = self._caps, step.decision.actions
        if caps != self._caps and self._counted(step.now):
            return True
        moved = step.decision.state != step.state
        return step.now - self._written_s >= (MOVE_EVERY_S if moved else RECORD_EVERY_S)

    def _counted(self, now: float) -> bool:
        """Count a change of the caps; whether it is one of the first in this time."""
        if now - self._changes_since_s >= MOVE_EVERY_S:
            self._changes_since_s, self._changes = now, 0
        self._changes += 1
        return self._changes <= MOST_CHANGES

    def _write_all(self, seen: "tuple[_Seen, ...]") -> None:
        for one in seen:
            self._write(*one, in_memory=False)

    def _write(self, step: PolicyStep, domain: Domain, epoch: Epoch, *, in_memory: bool = True) -> None:
        self._introduce(step.document, step.now)
        self._entry(
            f"{PREFIX}{step.document.policy.name}",
            observation={
                "row": step.row,
                "now_s": step.now,
                "state": step.state,
                "policy_hash": step.document.hash,
                "budget_watts": domain.budget_watts,
                "epoch": epoch.transitions,
            },
            decision={"caps": step.decision.actions, "state": step.decision.state},
            reason=UNMOVED if step.decision.state == step.state else MOVED,
            in_memory=in_memory,
        )

    def _introduce(self, document: PowerDocument, now: float) -> None:
        """Say what the document is that the next entry names, unless that was said lately."""
        if document.hash == self._documented and now - self._documented_s < DOCUMENT_EVERY_S:
            return
        self._documented, self._documented_s = document.hash, now
        self._entry(
            DOCUMENT,
            observation={"now_s": now},
            decision={"policy_hash": document.hash, "document": content_of(document)},
            reason=IN_FORCE,
        )

    def _entry(  # noqa: PLR0917
        self, decider: str, observation: object, decision: object, reason: str, in_memory: bool = True
    ) -> None:
        self._journal.write(
            decider,
            kind=POWER_DOMAINS.kind,
            name=self._domain_name,
            observation=observation,
            decision=decision,
            reason=reason,
            in_memory=in_memory,
        )


_Seen = tuple[PolicyStep, Domain, Epoch]


class _Extremes:
    """Of the decisions in one stretch of time, those at the lowest and at the highest load."""

    def __init__(self) -> None:
        self._since_s = -math.inf
        self._lowest: _Seen | None = None
        self._highest: _Seen | None = None

    def take(self, step: PolicyStep, domain: Domain, epoch: Epoch) -> tuple[_Seen, ...]:
        """Take one more; what there is to be written, once the time is over."""
        over = self.end() if step.now - self._since_s >= OBSERVE_EVERY_S else ()
        if self._lowest is None or self._highest is None:
            self._since_s = step.now
            self._lowest = self._highest = step, domain, epoch
        elif step.row.load < self._lowest[0].row.load:
            self._lowest = step, domain, epoch
        elif step.row.load > self._highest[0].row.load:
            self._highest = step, domain, epoch
        return over

    def end(self) -> tuple[_Seen, ...]:
        """What was kept, in order of time, and begin anew."""
        kept = tuple(self._ordered())
        self._lowest = self._highest = None
        return kept

    def _ordered(self) -> Iterator[_Seen]:
        low, high = self._lowest, self._highest
        if low is None or high is None:
            return
        if low is high:
            yield low
        else:
            yield from sorted((low, high), key=lambda seen: seen[0].now)
