"""
Who starts next and who is preempted: first come first served, or by priority.

By priority the waiting ones are in order of priority and arrival, the lower number first, and the victim is
the running one with the highest. Without priorities a new request waits behind all others and a preempted one
before them, and the victim is the one that started last. As `--scheduling-policy` of vLLM.
"""

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving import rows
from loadline_sim.serving.rows import Rows

WAITING, RUNNING = range(2)
"""Lists of a server."""


@compiled
def wait(  # noqa: PLR0917
    lists: Rows, priorities: Ints, server: int, index: int, first: int, last: int, was_running: bool
) -> None:
    """Let a request wait in its place from `first` to `last`. `priorities` are by request, or empty."""
    place = first if was_running and priorities.size == 0 else last
    if priorities.size > 0:
        while place > first and _is_before(priorities, index, lists.items[WAITING, server, place - 1]):
            place -= 1
    rows.insert(lists, WAITING, server, place, index)


@compiled
def victim(lists: Rows, priorities: Ints, server: int) -> int:
    """The place of the running request that is preempted first."""
    last = lists.sizes[RUNNING, server] - 1
    if priorities.size > 0:
        for place in range(last):
            if _is_before(
                priorities, lists.items[RUNNING, server, last], lists.items[RUNNING, server, place]
            ):
                last = place
    return int(last)


@compiled
def _is_before(priorities: Ints, one: int, other: int) -> bool:
    first, second = priorities[one], priorities[other]
    return bool(first < second or (first == second and one < other))
