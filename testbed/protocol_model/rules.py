"""
The rule's numbers, and its sentences that exist twice: as first written, and as the model changed them.

A field of `Rule` is one sentence; True is the sentence in docs/designs/0002, False the one before.
A reader finds there which scenario each old sentence breaks.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long each part of the rule waits, in whole seconds; the model's step is one second."""

    silent_after_s: int = 2
    forgotten_after_s: int = 30
    lease_s: int = 4
    planned_after_s: int = 2
    acknowledge_s: int = 10
    in_u_s: int = 600
    proof_s: int = 30
    probe_every_s: int = 10
    longest_proof_s: int = 900
    return_memory_s: int = 3600
    raise_within_s: int = 10
    kube_lease_s: int = 15
    patience_s: int = 7
    too_few_s: int = 30
    foreign_kept_s: int = 600
    foreign_window_s: int = 60
    excused_s: int = 40
    policy_hold_s: int = 10
    reaction_s: int = 7
    settle_s: int = 3


SHORT_TIMES = Times(
    silent_after_s=1,
    forgotten_after_s=3,
    lease_s=2,
    planned_after_s=1,
    acknowledge_s=3,
    in_u_s=12,
    proof_s=3,
    probe_every_s=1,
    longest_proof_s=12,
    return_memory_s=30,
    raise_within_s=2,
    kube_lease_s=3,
    patience_s=3,
    too_few_s=3,
    foreign_kept_s=8,
    foreign_window_s=6,
    excused_s=12,
    policy_hold_s=2,
    reaction_s=4,
    settle_s=1,
)
"""The same order of waits in a tenth of the time, so that an exhaustive exploration reaches their ends."""

MANY_FOREIGN_WRITES = 6
"""More foreign writes above safe than this within `foreign_window_s` make a GPU unable."""

PROOF_WRITES = 3
"""Writes that changed the limit and were read back, none failed between, that prove a GPU after a fault."""

RELEASE_SHARE = 0.95
"""Nodes are released only as far as the row would stay under this share of its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The sentences that the model changed: True as agreed now, False as first written."""

    changes_are_excused: bool = True
    unable_are_held_at_safe: bool = True
    epochs_are_awaited_briefly: bool = True
    planned_at_highest: bool = True
    maximum_is_planned_for: bool = True
    policy_leads_within_borne: bool = True
    excuse_waits_for_leader: bool = True
    growth_stays_within_budget: bool = True
    short_excesses_add_up: bool = True
    planned_at_its_orders: bool = True
    lowest_for_all: bool = True
    acknowledgements_are_awaited: bool = True


FIRST_WRITTEN = Rule(
    changes_are_excused=False,
    unable_are_held_at_safe=False,
    epochs_are_awaited_briefly=False,
    planned_at_highest=False,
    maximum_is_planned_for=False,
    policy_leads_within_borne=False,
    excuse_waits_for_leader=False,
    growth_stays_within_budget=False,
    short_excesses_add_up=False,
    planned_at_its_orders=False,
    lowest_for_all=False,
    acknowledgements_are_awaited=False,
)
"""The rule as it was before the model."""
