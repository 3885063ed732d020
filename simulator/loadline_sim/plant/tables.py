"""
The models priced in advance, for the compiled loop that can't call them.

The engine looks up; it holds no formula. So whatever the models become, the plant, the
simulator and a controller that asks the models directly agree to the last digit.
"""

import numpy as np

from loadline_policies.models import latencies, watts
from loadline_policies.models.parameters import ServerModel
from loadline_sim.arrays import Ints
from loadline_sim.plant.engine import Queue, Tables
from loadline_sim.traffic.arrivals import Arrivals


def tables_of(model: ServerModel) -> Tables:
    """Decode by batch, and the clock laws by whole MHz."""
    times, draw = model.latencies, model.watts
    idle, full = watts.idle_watts(draw), times.full_mhz
    batches = range(model.max_batch + 1)
    clocks = range(int(draw.min_mhz), int(full) + 1)
    return Tables(
        decode_s=np.array([latencies.decode_s(times, batch=n, clock_mhz=full) for n in batches]),
        decode_watts=np.array([watts.decode_watts(draw, batch=n, clock_mhz=full) - idle for n in batches]),
        prefill_slowdown=np.array([latencies.prefill_slowdown(times, mhz) for mhz in clocks]),
        decode_slowdown=np.array([latencies.decode_slowdown(times, mhz) for mhz in clocks]),
        prefill_power=np.array([watts.prefill_power_share(draw, mhz) for mhz in clocks]),
        decode_power=np.array([watts.decode_power_share(draw, mhz) for mhz in clocks]),
        idle_watts=idle,
        min_mhz=int(draw.min_mhz),
        max_batch=model.max_batch,
    )


def queue_of(arrivals: Arrivals, servers: int, *, model: ServerModel) -> tuple[Queue, Ints]:
    """The requests by server with their prefill priced, and where in `arrivals` each came from."""
    order = np.lexsort((arrivals.arrival_s, arrivals.server))
    tokens, places = np.unique(arrivals.prompt_tokens[order].astype(np.float64), return_inverse=True)
    times, draw = model.latencies, model.watts
    seconds = [latencies.prefill_s(times, prompt_tokens=n, clock_mhz=times.full_mhz) for n in tokens]
    dynamic = [watts.prefill_watts(draw, prompt_tokens=n, clock_mhz=times.full_mhz) for n in tokens]
    nobody = np.full(len(arrivals), np.nan)
    queue = Queue(
        starts=np.searchsorted(arrivals.server[order], np.arange(servers + 1)),
        arrival_s=arrivals.arrival_s[order],
        prefill_s=np.array(seconds, dtype=np.float64)[places],
        prefill_watts=(np.array(dynamic, dtype=np.float64) - watts.idle_watts(draw))[places],
        output_tokens=arrivals.output_tokens[order].astype(np.float64),
        ttft_s=nobody.copy(),
        latency_s=nobody.copy(),
    )
    return queue, order
