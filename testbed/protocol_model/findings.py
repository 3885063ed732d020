"""
What the model found: for every sentence that was changed, the shortest schedule that the old one breaks.

The texts, old and new, are in docs/designs/0002 under the names of `rules.Rule`'s fields. Each
schedule keeps every oracle under the rule as agreed; with that one sentence as first written it
breaks the oracle that is named here.
"""

from dataclasses import dataclass

from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.schedules import IDLE, Schedule, flapping, together
from testbed.protocol_model.setups import Setup, row


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One changed sentence, by its field in `Rule`, with the schedule and the oracle that show why."""

    sentence: str
    breaks: str
    setup: Setup
    schedule: Schedule
    last_s: int = 110


FINDINGS = (
    Finding(
        sentence="acknowledgements_are_awaited",
        breaks="S1 counted",
        setup=row(4, budget_watts=2400),
        schedule=[IDLE, (20, Event(Kind.DIE, 0))],
        last_s=650,
    ),
    Finding(
        sentence="changes_are_excused",
        breaks="S1 true",
        setup=row(4, budget_watts=2400),
        schedule=[(20, Event(Kind.DEAFEN, 0)), (100, Event(Kind.BUDGET, 0, 1920))],
        last_s=160,
    ),
    Finding(
        sentence="excuse_waits_for_leader",
        breaks="S1 true",
        setup=row(3, budget_watts=1560),
        schedule=[
            IDLE,
            (20, Event(Kind.API_DOWN)),
            (0, Event(Kind.DEPOSE)),
            *together(Kind.BREAK, (0, 1), after_s=1),
        ],
        last_s=60,
    ),
    Finding(
        sentence="unable_are_held_at_safe",
        breaks="able again",
        setup=row(10, budget_watts=5200),
        schedule=[IDLE, (20, Event(Kind.RESET, 0))],
    ),
    Finding(
        sentence="epochs_are_awaited_briefly",
        breaks="the plan grows back",
        setup=row(4, budget_watts=2400),
        schedule=[
            IDLE,
            (20, Event(Kind.DEAFEN, 0)),
            (0, Event(Kind.DEPOSE)),
            (60, Event(Kind.BUDGET, 0, 2600)),
        ],
    ),
    Finding(
        sentence="planned_at_highest",
        breaks="rarely held",
        setup=row(3, budget_watts=1560),
        schedule=[IDLE, *flapping(period_s=45, silent_s=5, times=8)],
        last_s=0,
    ),
    Finding(
        sentence="short_excesses_add_up",
        breaks="rarely held",
        setup=row(3, budget_watts=1560),
        schedule=[IDLE, *flapping(period_s=6, silent_s=3, times=40)],
        last_s=0,
    ),
    Finding(
        sentence="maximum_is_planned_for",
        breaks="S1 counted",
        setup=row(4, budget_watts=2400),
        schedule=[IDLE, (20, Event(Kind.DEAFEN, 0)), (0, Event(Kind.LEAVE, 0)), (3, Event(Kind.MUTE, 0))],
    ),
    Finding(
        sentence="policy_leads_within_borne",
        breaks="holds end",
        setup=row(3, budget_watts=1560),
        schedule=[IDLE, *together(Kind.BREAK, (0, 1), after_s=10), (10, Event(Kind.BUSY))],
    ),
    Finding(
        sentence="growth_stays_within_budget",
        breaks="S1 true",
        setup=row(10, budget_watts=5200),
        schedule=[
            IDLE,
            *together(Kind.BREAK, (0, 1), after_s=10),
            (1, Event(Kind.BUSY)),
            (60, Event(Kind.IDLE)),
            (10, Event(Kind.DEPOSE)),
        ],
        last_s=40,
    ),
    Finding(
        sentence="planned_at_its_orders",
        breaks="S1 counted",
        setup=row(4, budget_watts=2400),
        schedule=[(0, Event(Kind.FOREIGN, 3, 450)), (1, Event(Kind.UNRECORD, 3)), (0, Event(Kind.ISOLATE))],
    ),
    Finding(
        sentence="lowest_for_all",
        breaks="S1 true",
        setup=row(3, budget_watts=1560),
        schedule=[(0, Event(Kind.BREAK, 0)), (0, Event(Kind.BREAK, 1)), (0, Event(Kind.BLIND, 2))],
    ),
)
