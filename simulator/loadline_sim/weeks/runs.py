"""
A policy over weeks of a row: it decides once a second on the load of that second, as the live one would.

A policy may change nothing for hours, and calling the engine for each second would cost more than the engine.
So the row goes ahead by up to `MOST_AHEAD_S`, and the policy then decides on each of these seconds. Where it
changes its caps, the row is put back to before, and goes only as far as the old caps were in force. What
comes out is what stepping by single seconds gives, to the last digit.

Each stretch in which caps are in force is kept with the state before it, to be simulated again in the plant's
ticks (`replays`): there a limiter looks forty times a second, and the shortest peaks are seen.
"""

from collections import Counter, deque
from copy import copy
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.policy_runs import PolicyRun
from loadline_policies.power.rows import FREE, Cap, Caps, Row
from loadline_sim.arrays import Floats
from loadline_sim.plant.engine import Queue, Servers
from loadline_sim.weeks.rows import SECOND_S, SteppedRow, copied

MOST_AHEAD_S: Final = 128
LEAST_AHEAD_S: Final = 4
WINDOW_S: Final = 600
"""From how many seconds on a stretch with caps is kept as several windows, each with the state before it."""

Levers = tuple[Cap, Cap, bool]
FREE_LEVERS: Final[Levers] = (FREE, FREE, False)


def levers(caps: Caps) -> Levers:
    """What of a policy's wish changes anything in a row."""
    return caps.low, caps.high, caps.brake


@dataclass(slots=True)
class Orders:
    """What a policy has decided: `caps` are in force, `due` are not yet, each from a second on.

    `levels` counts the seconds for which the policy was at each level, as it decided.
    """

    policy: PolicyRun
    caps: Caps = field(default_factory=Caps)
    due: deque[tuple[int, Caps]] = field(default_factory=deque)
    levels: Counter[str] = field(default_factory=Counter)

    @property
    def decided(self) -> Caps:
        """The newest caps."""
        return self.due[-1][1] if self.due else self.caps

    @property
    def is_free(self) -> bool:
        """Whether nothing is in force and nothing will be."""
        return not self.due and levers(self.caps) == FREE_LEVERS

    def decide(self, load: float, *, second: int, now_s: float, reaction_s: int) -> bool:
        """Decide on the load of a second of this span, which ended at `now_s`; whether caps change."""
        caps = self.policy.decide(Row(load), now_s)
        self.levels[caps.level] += 1
        changes = levers(caps) != levers(self.decided)
        if changes:
            self.due.append((second + 1 + reaction_s, caps))
        return changes

    def later(self, seconds: int) -> "Orders":
        """The same on the clock of a span that begins so many seconds later."""
        return Orders(
            self.policy, self.caps, deque((at - seconds, caps) for at, caps in self.due), self.levels
        )

    def kept(self) -> "Orders":
        """A copy that goes its own way, with levels of its own."""
        return Orders(copy(self.policy), self.caps, deque(self.due))


@dataclass(slots=True)
class Window:
    """A stretch of a span in which caps were in force, in seconds of its clock, and the state before it.

    `loads` are those of its seconds, as simulated by the second, `levels` the seconds at each level.
    """

    start_s: int
    end_s: int
    queue: Queue
    servers: Servers
    orders: Orders
    origin_s: float
    loads: Floats = field(default_factory=lambda: np.zeros(0))
    levels: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Span:
    """One span of a run: its seconds, the row's load in each, and the windows with caps."""

    origin_s: float
    loads: Floats
    windows: list[Window]


def new_orders(document: PowerDocument) -> Orders:
    """Those of a policy that has decided nothing."""
    return Orders(PolicyRun(document))


def run_span(row: SteppedRow, orders: Orders, *, seconds: int, origin_s: float) -> Span:
    """Simulate a span of a row by the second under a policy; it begins at `origin_s` of the run."""
    loads, windows = np.empty(seconds), list[Window]()
    at, ahead, is_open = 0, MOST_AHEAD_S, False
    while at < seconds:
        put_in_force(row, orders, at)
        if is_open and (orders.is_free or at - windows[-1].start_s >= WINDOW_S):
            is_open = False
        before, kept, levels = copied(row.servers), orders.kept(), orders.levels.copy()
        due = orders.due[0][0] - at if orders.due else seconds
        size = min(ahead, seconds - at, due)
        loads[at : at + size] = row.step(at, size)
        done = _decide(orders, loads[at : at + size], first=at, origin_s=origin_s, row=row)
        if done < size:
            row.servers = copied(before)
            row.step(at, done)
        if not is_open and not orders.is_free:
            is_open = True
            windows.append(Window(at, at, row.queue, before, kept, origin_s))
        at += done
        ahead = min(2 * ahead, MOST_AHEAD_S) if done == size else LEAST_AHEAD_S
        if is_open:
            windows[-1].end_s = at
            windows[-1].levels += orders.levels - levels
    for window in windows:
        window.loads = loads[window.start_s : window.end_s]
    return Span(origin_s, loads, windows)


def put_in_force(row: SteppedRow, orders: Orders, second: int) -> None:
    """Put the caps in force that are due at a second."""
    while orders.due and orders.due[0][0] <= second:
        orders.caps = orders.due.popleft()[1]
        row.cap(orders.caps)


def _decide(orders: Orders, loads: Floats, *, first: int, origin_s: float, row: SteppedRow) -> int:
    """Let the policy decide on each second until caps that it changed are in force; how many those were."""
    reaction_s, done = row.config.reaction_s, loads.size
    for at, load in enumerate(loads.tolist()):
        if at == done:
            break
        second = first + at
        if orders.decide(load, second=second, now_s=origin_s + second + SECOND_S, reaction_s=reaction_s):
            done = min(done, at + 1 + reaction_s)
    return done
