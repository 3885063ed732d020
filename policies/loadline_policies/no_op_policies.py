"""
The no-op policies: one for each loop over services, which changes nothing.

A loop's no-op policy is in force where no document chooses another. A document names it to
switch the loop off for some services, and other policies are compared with it. No-op
policies have no settings and no state, and decide nothing; a loop's other policies are in
the loop's own folder.
"""

from dataclasses import dataclass

from loadline_policies.settings import Settings


class NothingToSet(Settings):
    """The settings of a no-op policy: none."""


@dataclass(frozen=True, slots=True)
class NoOpPolicy:
    """A policy that changes nothing; `summary` is the sentence that `loadline policies list` prints."""

    name: str
    summary: str
    config: type[NothingToSet] = NothingToSet


ALL_TOKENS = NoOpPolicy(
    "all-tokens",
    "Keep expert placement and routing: every token goes to the experts that the model chooses.",
)
ADMIT_AS_ENGINE = NoOpPolicy(
    "keep-all", "Let the engine itself decide which requests it admits, and which it preempts."
)
"""Of the kv loop. Its name is older than the loop over retention, and documents have it."""

KEEP_ALL = NoOpPolicy("keep-all", "Bound no request beyond what the spec of its service says.")
"""Of the kv-retention loop."""

FIXED_POOLS = NoOpPolicy(
    "fixed-pools", "Keep the numbers of prefill and decode replicas that the spec sets, by count or by ratio."
)
FIXED_REPLICAS = NoOpPolicy(
    "fixed-replicas", "Keep the number of replicas that the spec, /scale or an autoscaler sets."
)
