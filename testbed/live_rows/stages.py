"""
What a scenario plays on: a fresh row with its judge, and what it found out.

A scenario says what befalls the row, and what it must be able to show besides: that the attack took
place at all, and what only this scenario can know. The promises themselves are the judge's, the same
for all. `play` brings a row up for each, so that none inherits another's heat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from loadline_policies.power.safety.breakers import Curve
from testbed.fakegpu.board import boottime
from testbed.live_rows.judges import Judge, Verdict
from testbed.live_rows.rows import STEEP, Manifest, Row, Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that a scenario must have shown: what, whether it is so, and what was there instead."""

    name: str
    ok: bool
    text: str


@dataclass
class Stage:
    """A row with its judge, and what a scenario found out."""

    row: Row
    judge: Judge
    say: Say
    facts: list[Fact] = field(default_factory=list)

    def show(self, name: str, ok: bool, text: str) -> None:
        """Note a fact."""
        self.facts.append(Fact(name=name, ok=ok, text=text))

    def tell(self, text: str) -> None:
        """Say what happens, when, and how hot the breaker is by now."""
        self.say(f"{self.judge.now_s:4.0f} s, heat {self.row.plant.heat:.2f}: {text}")

    def demand(self, load: float, *, for_s: float) -> None:
        """Let the row ask for so much, and watch it."""
        self.tell(f"{load:.0%} of the budget are asked for")
        self.row.plant.demand(load)
        self.judge.watch(for_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """An attack: `title` says what happens, `curve` which breaker the row hangs on."""

    title: str
    attack: Callable[[Stage], None]
    curve: Curve = STEEP
    early: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a play has shown, and how long it took without and with the bring-up."""

    verdict: Verdict
    facts: tuple[Fact, ...]
    seconds: float
    whole_s: float
    longest_tick_s: float


def play(scenario: Scenario, say: Say) -> Outcome:
    """Bring a row up, attack it, and take it down; BedError if it doesn't come up."""
    began_s = boottime()
    with Row(curve=scenario.curve, early=scenario.early, say=say) as row:
        stage = Stage(row, Judge(row), say)
        scenario.attack(stage)
        seconds = stage.judge.now_s
    return Outcome(
        verdict=stage.judge.verdict,
        facts=tuple(stage.facts),
        seconds=seconds,
        whole_s=boottime() - began_s,
        longest_tick_s=row.plant.longest_tick_s,
    )
