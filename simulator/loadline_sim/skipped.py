"""
Rows and lines that were left out of what a user gave: how many, why, and which.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from loadline_policies.errors import InvalidTrace

MOST_LISTED: Final = 20


@dataclass(slots=True)
class Skipped:
    """How many were left out for each reason, and the first of them in words."""

    reasons: Counter[str] = field(default_factory=Counter)
    listed: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.reasons.total()

    def add(self, error: InvalidTrace) -> None:
        """Note one that is left out."""
        self.reasons[error.fix] += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append(str(error))

    def notes(self, kind: str) -> list[str]:
        """How many rows or lines were left out and why, and the first of them; nothing if none were."""
        if not self.count:
            return []
        reasons = "; ".join(f"{count}: {reason}" for reason, count in self.reasons.most_common())
        return [f"{self.count} bad {kind} are left out ({reasons}).", *self.listed]
