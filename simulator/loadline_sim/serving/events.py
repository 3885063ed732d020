"""
What happens next: the events of a simulation, by their time and then in the order in which they were
made.

A server's steps that are alike are one event. It moves when a request arrives that is to join the next
step: then it isn't searched for, but the server remembers the newest one, and the loop drops the others.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving.records import Records, record

STEP, TRANSFER = 0, 1
"""Kinds of events: a server's steps end; a request's KV has been sent, or is to be tried again."""

EVENT: Final = record(("order", "kind", "index"), floats=("at_s",))

STEPS: Final = record(("order", "is_cut"), floats=("step_s", "growth_s", "steps", "end_s"))
"""Of a server: so many steps are under way, which end at `end_s` by the event `order`. The first of them
takes
`step_s`, each further one `growth_s` longer than the one before it."""


class Events(NamedTuple):
    """A binary heap of events. `counts[0]` are in it, `counts[1]` were made so far. `steps` are by server.

    One event makes at most `margin` others.
    """

    heap: Records
    counts: Ints
    steps: Records
    margin: int


def no_events(servers: int, tasks: int) -> Events:
    """A heap for servers that have at most so many tasks each."""
    steps, margin = np.zeros(servers, STEPS), _margin(servers, tasks)
    steps["order"] = -1
    return Events(np.zeros(2 * margin, EVENT), np.zeros(2, np.int64), steps, margin)


def with_room(old: Events, tasks: int) -> Events:
    """The same events, for servers with so many tasks; what is by server stays the same arrays."""
    margin = _margin(old.steps.size, tasks)
    heap = np.zeros(2 * margin, EVENT)
    heap[: old.heap.size] = old.heap
    return old._replace(heap=heap, margin=margin)


def _margin(servers: int, tasks: int) -> int:
    """At the end of a step each of a server's tasks may be sent, and each server may begin a step."""
    return servers + tasks + 1


@compiled
def is_full(events: Events) -> bool:
    """Whether the heap might not have room for all that one more event makes."""
    return bool(events.counts[0] + events.margin > events.heap.size)


@compiled
def push(events: Events, at_s: float, kind: int, index: int) -> int:  # noqa: PLR0917
    """Let something happen then; the order of the event."""
    place, order, heap = events.counts[0], events.counts[1], events.heap
    events.counts[0] += 1
    events.counts[1] += 1
    while place > 0:
        parent = (place - 1) // 2
        if heap[parent].at_s <= at_s:
            break
        heap[place] = heap[parent]
        place = parent
    event = heap[place]
    event.at_s, event.order, event.kind, event.index = at_s, order, kind, index
    return int(order)


@compiled
def begin_steps(  # noqa: PLR0917
    events: Events, server: int, now_s: float, step_s: float, growth_s: float, steps: float
) -> None:
    """Let a server do so many steps, each longer than the one before. The end of none is no event."""
    mine = events.steps[server]
    mine.step_s, mine.growth_s, mine.steps, mine.is_cut = step_s, growth_s, steps, 0
    mine.end_s = now_s + _all_s(mine, steps)
    if steps > 0.0:
        mine.order = push(events, mine.end_s, STEP, server)


@compiled
def cut_steps(events: Events, server: int, now_s: float) -> None:
    """Let a server stop after the step that is under way."""
    mine = events.steps[server]
    if mine.is_cut:
        return
    elapsed_s = max(0.0, now_s - (mine.end_s - _all_s(mine, mine.steps)))  # rounding may put it before 0
    mine.steps, mine.is_cut = _whole_steps(mine, elapsed_s) + 1.0, 1
    mine.end_s = now_s + (_all_s(mine, mine.steps) - elapsed_s)
    mine.order = push(events, mine.end_s, STEP, server)


@compiled
def mean_step_s(events: Events, server: int) -> float:
    """Seconds of each of a server's steps, on average."""
    mine = events.steps[server]
    return float(_all_s(mine, mine.steps) / mine.steps)


@compiled
def _all_s(mine: Any, steps: float) -> float:
    """Seconds of so many steps."""
    return float(mine.step_s * steps + mine.growth_s * (steps * (steps - 1.0) / 2.0))


@compiled
def _whole_steps(mine: Any, elapsed_s: float) -> float:
    """Steps that have ended after so long: a root, moved to where rounding has put it beside a step's end."""
    if mine.growth_s == 0.0:
        return float(elapsed_s // mine.step_s)
    first_s = mine.step_s - mine.growth_s / 2.0
    steps = np.floor((np.sqrt(first_s**2 + 2.0 * mine.growth_s * elapsed_s) - first_s) / mine.growth_s)
    while _all_s(mine, steps) > elapsed_s:
        steps -= 1.0
    while _all_s(mine, steps + 1.0) <= elapsed_s:
        steps += 1.0
    return float(steps)


@compiled
def drop_first(events: Events) -> None:
    """Take the first event out."""
    events.counts[0] -= 1
    heap, size = events.heap, events.counts[0]
    last, place = heap[size], 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _is_before(heap, child + 1, child):
            child += 1
        if not _is_before(heap, child, size):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = last


@compiled
def _is_before(heap: Any, one: int, other: int) -> bool:
    first, second = heap[one], heap[other]
    same = first.at_s == second.at_s
    return bool(first.at_s < second.at_s or (same and first.order < second.order))
