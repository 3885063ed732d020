"""
The policy document of a row as somebody writes it, and which one is in force by the product's promise.

A document that can't be used leaves the last good one in force. Which can be used is the product's own
parser's word: what it should refuse is held elsewhere (`testbed.hostile_documents`), here only that
operator and coordinator go by the same word, and say so.
"""

from dataclasses import dataclass

from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidPolicy


@dataclass(frozen=True, slots=True)
class WrittenPolicy:
    """What is in the ConfigMap: whether it can be used, and the hash of the last one that could."""

    good: bool
    hash: str

    def then(self, text: str) -> "WrittenPolicy":
        """After somebody has written another one."""
        try:
            return WrittenPolicy(good=True, hash=parse_power(text).hash)
        except InvalidPolicy:
            return WrittenPolicy(good=False, hash=self.hash)
