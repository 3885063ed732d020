"""
What a loop over services is without a policy that acts: everything stays as it is.

Each loop has one such policy. It is what is in force where no document says otherwise,
what a document names that switches a loop off for some services, and what a policy that
acts is compared with. They have nothing to set and decide nothing, so there is no state
either; a loop's other policies stand in its own folder.
"""

from dataclasses import dataclass

from loadline_policies.settings import Settings


class NothingToSet(Settings):
    """A policy that changes nothing has nothing to set."""


@dataclass(frozen=True, slots=True)
class NoOpPolicy:
    """A policy that changes nothing, and the sentence that says what stays."""

    name: str
    summary: str
    config: type[NothingToSet] = NothingToSet


ALL_TOKENS = NoOpPolicy(
    "all-tokens", "Keep placement and routing: every token goes where the model sends it."
)
KEEP_ALL = NoOpPolicy(
    "keep-all", "Keep every key and value until its request ends; the engine admits by itself."
)
FIXED_POOLS = NoOpPolicy(
    "fixed-pools", "Keep prefill and decode as the spec counts them, by number or by ratio."
)
FIXED_REPLICAS = NoOpPolicy(
    "fixed-replicas", "Keep the replicas that the spec, /scale or an autoscaler asks for."
)
