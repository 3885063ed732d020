"""A small row of both priorities whose budget is tight, with its requests."""

import numpy as np

from loadline_policies.models import parameters
from loadline_policies.power.safety.breakers import Curve
from loadline_sim.plant import hardware
from loadline_sim.plant.engine import Queue
from loadline_sim.plant.tables import queue_of
from loadline_sim.traffic.arrivals import Arrivals
from loadline_sim.weeks.rows import RowConfig, SteppedRow

MODEL = parameters.load()
SERVERS = 4
CONFIG = RowConfig(
    is_low=np.array([False, True] * (SERVERS // 2)),
    budget_watts=SERVERS * 5300.0,
    model=MODEL,
    curve=Curve(),
)


def requests(seconds: float, *, seed: int = 1, per_s: float = 0.8) -> Arrivals:
    """Requests at random, on servers in turn."""
    dice = np.random.default_rng(seed)
    count = int(seconds * per_s)
    return Arrivals(
        ("chat",),
        np.sort(dice.uniform(0.0, seconds, count)),
        np.zeros(count, np.int64),
        np.arange(count) % SERVERS,
        dice.integers(50, 5000, count),
        dice.integers(1, 120, count),
    )


def queue(arrivals: Arrivals) -> Queue:
    """The requests by server."""
    return queue_of(arrivals, SERVERS, model=MODEL)[0]


def row(arrivals: Arrivals, *, tick_s: float = 1.0) -> SteppedRow:
    """The idle row with these requests."""
    of = queue(arrivals)
    return SteppedRow(CONFIG, of, hardware.servers_of(SERVERS, of.starts, model=MODEL), tick_s=tick_s)
