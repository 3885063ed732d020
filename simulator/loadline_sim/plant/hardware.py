"""
The GPUs of a row as their driver shows them.

A GPU's meter looks for 25 ms in every 100 ms, each GPU at its own turn, and reads up
to 5 % too much or too little, always by the same factor ("Part-time Power Measurements",
arXiv 2312.02741). The averaged field follows with a lag of a second. The energy counter
integrates all the time, through the same shunt and so with the same factor.

Limits are obeyed by the clock: a server's GPUs work in step, so the lowest limit and
the lowest locked clock of the eight bind them all. The laws are in `engine`; here are
the arrays that it works on.
"""

import numpy as np

from loadline_policies.models import watts
from loadline_policies.models.parameters import ServerModel
from loadline_sim.arrays import Floats, Ints
from loadline_sim.plant.engine import Sensors, Servers

TICK_S = 0.025
"""The meter's window, and the plant's tick: a sample is the mean of exactly one tick."""

SAMPLE_TICKS = 4
"""A meter looks at one tick in so many."""

AVERAGE_S = 1.0
"""Lag of the averaged field."""

AVERAGE_SMOOTHING = SAMPLE_TICKS * TICK_S / AVERAGE_S
"""What each sample weighs in the averaged field."""

SENSOR_GAIN = 0.05
"""A meter's factor lies within 1 ± this."""


def servers_of(count: int, requests_from: Ints, *, model: ServerModel) -> Servers:
    """Idle servers at their default limit, the TDP, and full clock.

    `requests_from` is where each one's requests begin, and where the last one's end.
    """
    return Servers(
        head=requests_from[:-1].copy(),
        prefilling=np.full(count, -1, dtype=np.int64),
        prefill_left_s=np.zeros(count),
        batch=np.zeros(count, dtype=np.int64),
        decoded=np.zeros(count),
        ends=np.zeros((count, model.max_batch)),
        members=np.zeros((count, model.max_batch), dtype=np.int64),
        limit_watts=np.full(count, model.watts.tdp_watts),
        locked_mhz=np.full(count, int(model.watts.full_mhz), dtype=np.int64),
        mhz=np.zeros(count, dtype=np.int64),
        watts=np.full(count, watts.idle_watts(model.watts)),
        joules=np.zeros(count),
    )


def sensors_of(count: int, model: ServerModel, *, seed: int, gain: float = SENSOR_GAIN) -> Sensors:
    """Meters with their factors and turns drawn from `seed`; they begin at the idle watts."""
    dice = np.random.default_rng(seed)
    shape = (count, model.gpus)
    factors = dice.uniform(1.0 - gain, 1.0 + gain, shape)
    idle = watts.idle_watts(model.watts) * factors
    return Sensors(
        gain=factors,
        offset=dice.integers(0, SAMPLE_TICKS, shape),
        instant_watts=idle.copy(),
        average_watts=idle.copy(),
    )


def tightest(values: Floats) -> Floats:
    """What binds each server, out of one value per GPU, shape (servers, GPUs)."""
    return np.asarray(values.min(axis=1))
