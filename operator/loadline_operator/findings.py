"""
One thing found about a service or a domain: whether it is so, why in a word, and why in a sentence.

What conditions are made of, before they have a type, a generation and a time.
"""

from dataclasses import dataclass

from loadline_api.conditions import Condition, ConditionType, condition
from loadline_api.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """So (True), not so (False) or not to be told (None); a text left out is the reason's own sentence."""

    so: bool | None
    reason: Reason
    text: str = ""

    def as_condition(self, type: ConditionType, *, generation: int) -> Condition:
        """The condition of that type that says so."""
        return condition(type, so=self.so, reason=self.reason, message=self.text, generation=generation)
