"""
What a recorded hour would be at a row's size, and which server gets which request.

A trace is scaled by thinning or copying: a factor of 1.4 takes every request once and
four in ten twice, a factor of 0.6 six in ten. Each is moved by up to `JITTER_S`. The
code trace comes in volleys, hundreds of prompts within seconds, as one gateway of a
whole region sees them; put on one row they would make it jump by 10-15 % of its budget
in two seconds, where POLCA's row, of many tenants, was never seen to jump by more
than 9 %. A larger factor only adds requests to those of a smaller one, which keeps a
bisection over factors monotone.

Requests are routed when they are made, not when they are served: each goes to the
server of its service with the least work before it, as estimated at full clock. So a
capped and an uncapped run serve the same requests on the same servers, and their
latencies can be compared one by one. A router that saw queues grow would do a little
better under caps; the comparison errs on the harsh side.

Everything is a function of traces, factors and seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadline_policies.models import latencies
from loadline_policies.models.parameters import ServerModel
from loadline_sim.traffic import least_work
from loadline_sim.traffic.least_work import Work
from loadline_sim.traffic.traces import Trace

JITTER_S = 20.0
"""How far a request is moved at most; chosen; the demo's row then rises by 6 % in two seconds at most."""

TYPICAL_BATCH = 4
"""The batch at which the router prices a token of decode; chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """Extra requests with long prompts, evenly from `start_s` to `end_s` over all servers.

    `rate_per_server` is their rate in requests per second and server: the factor that
    the demo finds by bisection.
    """

    start_s: float
    end_s: float
    rate_per_server: float
    prompt_tokens: int = 6144
    output_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A row's requests in order of arrival; one entry each.

    `service` indexes `services`, `server` the row's servers. Times are in seconds, with
    zero at the start of the window; those before it warm the row up.
    """

    services: tuple[str, ...]
    arrival_s: NDArray[np.float64]
    service: NDArray[np.int64]
    server: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.arrival_s.size)


def scaled(trace: Trace, factor: float, *, seed: int) -> Trace:
    """The trace with `factor` times its requests, each moved by up to `JITTER_S` either way.

    Which prompts begin alike isn't kept: a copy would find all of what it is a copy of.
    """
    dice = np.random.default_rng(seed)
    kept = dice.random(len(trace))
    parts = []
    for copy in range(math.ceil(factor)):
        moved_s = trace.arrival_s + dice.uniform(-JITTER_S, JITTER_S, len(trace))
        chosen = kept < factor - copy
        parts.append(replace(trace, arrival_s=moved_s, prefixes=None).select(chosen))
    return merged(parts)


def stress_trace(stress: Stress, *, servers: int, seed: int) -> Trace:
    """The extra requests for `servers` servers; a higher rate adds to those of a lower one."""
    duration_s = stress.end_s - stress.start_s
    count = round(stress.rate_per_server * servers * duration_s)
    dice = np.random.default_rng(seed)
    arrival_s = np.sort(stress.start_s + duration_s * dice.random(count))
    return Trace(
        arrival_s,
        np.full(count, stress.prompt_tokens, dtype=np.int64),
        np.full(count, stress.output_tokens, dtype=np.int64),
    )


def routed(
    traces: Mapping[str, Trace], services_of_servers: Sequence[str], model: ServerModel, *, origin_s: float
) -> Arrivals:
    """All services' requests on their servers, times counted from `origin_s` of the traces.

    `services_of_servers` names the service that each server of the row runs.
    """
    services = tuple(sorted(traces))
    parts = [
        _routed_service(traces[name], _servers_of(name, services_of_servers), model) for name in services
    ]
    counts = [len(traces[name]) for name in services]
    arrival_s = np.concatenate([traces[name].arrival_s for name in services]) - origin_s
    order = np.argsort(arrival_s, kind="stable")
    return Arrivals(
        services,
        arrival_s[order],
        np.repeat(np.arange(len(services)), counts)[order],
        np.concatenate(parts)[order],
        np.concatenate([traces[name].prompt_tokens for name in services])[order],
        np.concatenate([traces[name].output_tokens for name in services])[order],
    )


def merged(traces: Sequence[Trace]) -> Trace:
    """Several traces on one clock as one, in order of arrival; with priorities if all of them have some."""
    arrival_s = np.concatenate([trace.arrival_s for trace in traces])
    order = np.argsort(arrival_s, kind="stable")
    priorities = [trace.priority for trace in traces if trace.priority is not None]
    return Trace(
        arrival_s[order],
        np.concatenate([trace.prompt_tokens for trace in traces])[order],
        np.concatenate([trace.output_tokens for trace in traces])[order],
        priority=np.concatenate(priorities)[order] if len(priorities) == len(traces) else None,
    )


def _servers_of(service: str, services_of_servers: Sequence[str]) -> NDArray[np.int64]:
    return np.array([i for i, name in enumerate(services_of_servers) if name == service], dtype=np.int64)


def _routed_service(trace: Trace, servers: NDArray[np.int64], model: ServerModel) -> NDArray[np.int64]:
    prefill_s, decode_s = prices(trace, model)
    work = Work.none(servers.size)
    share = 1.0 / model.max_batch
    chosen, _ = least_work.routed(work, trace.arrival_s, prefill_s=prefill_s, decode_s=decode_s, share=share)
    return servers[chosen]


def prices(trace: Trace, model: ServerModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimated seconds of prefill and of decode of each request, at full clock."""
    times = model.latencies
    tokens, places = np.unique(trace.prompt_tokens, return_inverse=True)
    prefill = [
        latencies.prefill_s(times, prompt_tokens=float(count), clock_mhz=times.full_mhz) for count in tokens
    ]
    token_s = latencies.decode_s(times, batch=TYPICAL_BATCH, clock_mhz=times.full_mhz)
    return np.array(prefill)[places], trace.output_tokens.astype(np.float64) * token_s
