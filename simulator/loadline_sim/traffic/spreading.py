"""
Requests whose times were noted in steps, spread over these steps.

Mooncake's trace has its times in steps of about three seconds: whole batches come at once, which no service
has seen. Within a step nothing is known, so the requests of one are put at times drawn evenly, in their
order.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats
from loadline_sim.traffic.traces import Trace

LEAST_TOGETHER: Final = 4.0
"""Requests of a time, on average, from which times are taken for steps; chosen: independent ones hardly
share."""

TOLERANCE: Final = 0.01
"""How far the distance of two times may be from a whole number of steps, as a share of it: Mooncake's are
within 0.002."""

LEAST_ON_STEPS: Final = 0.99
"""The share of distances that must be whole numbers of steps. Batches that really come at once, at times of
their own, are no steps and stay together."""


def step_of(trace: Trace) -> float:
    """The step in which a trace's times were noted, in seconds; 0 where they weren't."""
    times_s = np.unique(trace.arrival_s)
    if times_s.size < 2 or len(trace) / times_s.size < LEAST_TOGETHER:
        return 0.0
    distances_s = np.diff(times_s)
    step_s = float(np.median(distances_s))
    whole = np.rint(distances_s / step_s)
    on_steps = (whole > 0) & (np.abs(distances_s / step_s - whole) <= TOLERANCE * whole)
    return step_s if on_steps.mean() >= LEAST_ON_STEPS else 0.0


def spread(trace: Trace, *, seed: int, step_s: float | None = None) -> Trace:
    """The trace with the requests of each time spread over the step after it, or up to the next time.

    Without a step the one that is found; a trace without any is returned as it is.
    """
    step_s = step_of(trace) if step_s is None else step_s
    if not 0.0 <= step_s < np.inf:
        raise InvalidInput("step", step_s, fix="give the seconds of a step, 0 for none")
    if step_s == 0.0:
        return trace
    times_s, place = np.unique(trace.arrival_s, return_inverse=True)
    room_s = np.minimum(np.diff(times_s, append=np.inf), step_s)
    drawn = np.random.default_rng(seed).random(len(trace))
    order = np.lexsort((drawn, place))
    arrival_s: Floats = trace.arrival_s + (drawn[order] * room_s[place])
    return replace(trace, arrival_s=arrival_s)
