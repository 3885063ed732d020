"""
The loop of a simulation: arrivals and events in the order of time, each given to router and scheduler.

Arrays don't grow in compiled code: the loop stops when one might become full, and goes on once
`simulate` has made room.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.compiled import compiled
from loadline_sim.serving import events, handlers, transfers
from loadline_sim.serving.records import Records
from loadline_sim.serving.servers import Fleet
from loadline_sim.serving.simulations import Simulation, check, requests_of
from loadline_sim.traffic.traces import Trace

FIRST_ROOM: Final = 64
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of requests, in order of arrival; NaN where one was still served when the time was over.

    `ttft_s` is from arrival to the first token, `response_s` to the last one. `hit_share` is the share of
    prompt tokens that servers had kept, NaN where nobody knows which prompts begin alike.
    """

    ttft_s: Floats
    response_s: Floats
    hit_share: float = math.nan


class SchedulerState(Protocol):
    """The arrays of a scheduler."""

    def with_room(self, room: int) -> "SchedulerState":
        """The same, with room for so many items in each row."""


def simulate(
    trace: Trace,
    *,
    fleet: Fleet,
    router: Any,
    scheduler: Callable[[Records, Fleet, int], SchedulerState],
    until_s: float | None = None,
) -> Outcomes:
    """Serve a trace until all of it is done, or until then, by default a day after the last arrival.

    Fleet and router are used up: `fleet.servers` are as they were at the end. Raises InvalidTrace, by the
    number of the request, for one that no server can hold or price.
    """
    check(trace, fleet)
    requests, room = requests_of(trace), FIRST_ROOM
    until_s = float(trace.arrival_s.max(initial=0.0)) + DAY_S if until_s is None else until_s
    queue = events.no_events(fleet.servers.size, room)
    simulation = Simulation(np.zeros(1), np.zeros(1, np.int64), requests, fleet, router, queue)
    state = scheduler(requests, fleet, room)
    while not _run(state, simulation, until_s):
        room *= 2
        state = state.with_room(room)
        simulation = simulation._replace(events=events.with_room(simulation.events, room))
    arrival_s = requests["arrival_s"]
    return Outcomes(requests["first_token_s"] - arrival_s, requests["last_token_s"] - arrival_s)


@compiled
def _run(scheduler: Any, simulation: Simulation, until_s: float) -> bool:
    """Let everything happen until then; False if an array has to grow before."""
    requests, router, queue = simulation.requests, simulation.router, simulation.events
    while not (events.is_full(queue) or handlers.is_full(scheduler, simulation, 0)):
        request = simulation.arrived[0]
        arrives_s = requests[request].arrival_s if request < requests.size else np.inf
        happens_s = queue.heap[0].at_s if queue.counts[0] > 0 else np.inf
        now_s = min(arrives_s, happens_s)
        if now_s == np.inf or now_s > until_s:
            return True
        if arrives_s <= happens_s:
            simulation.now_s[0], simulation.arrived[0] = now_s, request + 1
            handlers.route(router, simulation, request)
            handlers.arrive(scheduler, simulation, request)
            continue
        kind, index, order = queue.heap[0].kind, queue.heap[0].index, queue.heap[0].order
        events.drop_first(queue)
        if kind == events.STEP and order != queue.steps[index].order:
            continue
        simulation.now_s[0] = now_s
        if kind == events.STEP:
            handlers.end_step(scheduler, simulation, index)
        elif transfers.is_done(simulation, index):
            handlers.receive(scheduler, simulation, index)
    return False
