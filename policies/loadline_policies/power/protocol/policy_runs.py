"""
A policy at work on one row: its document, its state, and the level at which it begins after others led.

A policy's state lives with one coordinator. A successor that began it anew would free a braked row to
its maximum and brake it again. So every lease tells the policy's level, nodes tell it in their reports,
and a successor resumes there: the hold times of that level begin anew, and nobody is raised before they
are over.

Members hear a new level one after another, and one of them may be broken or hostile, so that of all
levels told the second strictest is believed. They count until the policy first decides; a member that
is heard later has no say in what was decided without it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadline_policies.decisions import Decision
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.rows import Caps, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStep:
    """One decision of a policy: what it was given, in full, and what it gave; `now` is in seconds."""

    document: PowerDocument
    row: Row
    state: Any
    now: float
    decision: Decision[Caps, Any]


Observe = Callable[[PolicyStep], None]
"""Called with every decision of a policy, for a journal."""


def unobserved(step: PolicyStep) -> None:
    """Keep nothing of a decision."""


class PolicyRun:
    """One policy from a coordinator's begin to its end, or to another policy."""

    def __init__(self, document: PowerDocument, observe: Observe = unobserved) -> None:
        self._document, self._observe = document, observe
        self._state: Any = document.policy.start
        self._decided: str | None = None
        self._told: dict[str, str] = {}

    @property
    def level(self) -> str | None:
        """The policy's level: as decided last, or else where it would resume; None where nobody knows."""
        return self._resumed_level if self._decided is None else self._decided

    def configure(self, document: PowerDocument) -> None:
        """Another policy starts anew; the same one with other settings goes on from where it is."""
        if document.policy.name != self._document.policy.name:
            self._state, self._decided = document.policy.start, None
            self._told.clear()
        self._document = document

    def learn(self, report: Report) -> None:
        """Take the level that a report tells of an epoch before ours."""
        if self._decided is None and report.policy_level is not None:
            self._told[report.node] = report.policy_level

    def decide(self, row: Row, now: float) -> Caps:
        """What the policy wants of the row."""
        document = self._document
        resumed = self._resumed_level if self._decided is None else None
        if resumed is not None:
            self._state = document.policy.resumed(resumed, now)
        before, decision = self._state, document.policy.decide(row, self._state, document.config, now)
        self._observe(PolicyStep(document=document, row=row, state=before, now=now, decision=decision))
        self._state, self._decided = decision.state, str(decision.actions.level)
        self._told.clear()
        return decision.actions

    @property
    def _resumed_level(self) -> str | None:
        levels = self._document.policy.levels
        known = sorted(levels.index(level) for level in self._told.values() if level in levels)
        return levels[known[-2:][0]] if known else None
