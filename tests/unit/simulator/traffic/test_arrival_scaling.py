"""Scaling and routing: functions of traces, factors and seed, and nothing else."""

from collections import Counter

import numpy as np
import pytest

from loadline_policies.models import parameters
from loadline_sim.traffic import arrivals, recordings, traces
from loadline_sim.traffic.arrivals import Stress

MODEL = parameters.load()
CHAT = recordings.azure_2023()["chat"].between(600.0, 900.0)


def shapes(trace: traces.Trace) -> Counter[tuple[int, int]]:
    """How often each pair of prompt and answer length occurs."""
    return Counter(zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.4, 2.7])
def test_a_factor_scales_the_number_of_requests(factor: float) -> None:
    assert len(arrivals.scaled(CHAT, factor, seed=1)) == pytest.approx(factor * len(CHAT), rel=0.05)


def test_a_larger_factor_only_adds_requests() -> None:
    few, many = arrivals.scaled(CHAT, 0.6, seed=1), arrivals.scaled(CHAT, 1.3, seed=1)
    assert shapes(few) <= shapes(many)
    assert set(few.arrival_s) <= set(many.arrival_s)


def test_nobody_is_moved_further_than_the_jitter() -> None:
    moved = arrivals.scaled(CHAT, 1.0, seed=1)
    assert shapes(moved) == shapes(CHAT)
    assert abs(np.sort(moved.arrival_s) - CHAT.arrival_s).max() <= arrivals.JITTER_S


def test_the_same_seed_gives_the_same_requests_and_another_does_not() -> None:
    first, again, other = (arrivals.scaled(CHAT, 0.6, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.arrival_s, again.arrival_s)
    assert not np.array_equal(first.arrival_s, other.arrival_s)


def test_requests_go_only_to_servers_of_their_service() -> None:
    services = ("chat", "code", "chat")
    routed = arrivals.routed({"chat": CHAT, "code": CHAT}, services, MODEL, origin_s=600.0)
    for index, server in zip(routed.service, routed.server, strict=True):
        assert services[server] == routed.services[index]


def test_work_is_spread_evenly() -> None:
    routed = arrivals.routed({"chat": CHAT}, ("chat",) * 8, MODEL, origin_s=600.0)
    tokens = np.bincount(routed.server, weights=routed.output_tokens)
    assert tokens.max() / tokens.min() < 1.5


def test_a_volley_goes_to_idle_servers_first() -> None:
    volley = traces.Trace(np.zeros(8), np.full(8, 2000), np.full(8, 10))
    routed = arrivals.routed({"code": volley}, ("code",) * 8, MODEL, origin_s=0.0)
    assert sorted(routed.server) == list(range(8))


def test_stress_comes_within_its_time_at_its_rate() -> None:
    stress = Stress(start_s=10.0, end_s=90.0, rate_per_server=0.5)
    extra = arrivals.stress_trace(stress, servers=26, seed=1)
    assert len(extra) == 0.5 * 26 * 80
    assert extra.arrival_s.min() >= 10.0
    assert extra.arrival_s.max() < 90.0
