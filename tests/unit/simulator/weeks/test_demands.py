"""Requests of weeks come in spans, each on a server of its service, and the spans change nothing."""

import numpy as np
import pytest

from loadline_policies.models import parameters
from loadline_sim.traffic import profiles
from loadline_sim.traffic.arrivals import Arrivals
from loadline_sim.weeks.cases import services_of
from loadline_sim.weeks.demands import SERVICES, Demand

MODEL = parameters.load()
STEADY = profiles.constant(np.full(48, 36_000), 3600.0)


def spans_of(*, span_s: int, seed: int = 1, factor: float = 0.2) -> list[tuple[int, Arrivals]]:
    """An hour of a row of six."""
    demand = Demand(factor=factor, duration_s=3600, seed=seed, span_s=span_s, profile=STEADY)
    return list(demand.spans(services_of(6), MODEL))


def test_spans_together_are_the_whole() -> None:
    ((_, whole),) = spans_of(span_s=3600)
    parts = spans_of(span_s=1000)
    assert [seconds for seconds, _ in parts] == [1000, 1000, 1000, 600]
    starts_s = np.cumsum([0, *(seconds for seconds, _ in parts[:-1])])
    arrival_s = np.concatenate(
        [part.arrival_s + start for (_, part), start in zip(parts, starts_s, strict=True)]
    )
    assert arrival_s == pytest.approx(whole.arrival_s, abs=1e-9)
    for name in ("service", "server", "prompt_tokens", "output_tokens"):
        assert (
            np.concatenate([getattr(part, name) for _, part in parts]).tolist()
            == getattr(whole, name).tolist()
        )


def test_requests_of_a_span_come_within_it_to_servers_of_their_service() -> None:
    services = services_of(6)
    for seconds, part in spans_of(span_s=900):
        assert 0.0 <= part.arrival_s.min() <= part.arrival_s.max() < seconds
        assert all(
            services[server] == part.services[one]
            for server, one in zip(part.server, part.service, strict=True)
        )


def test_the_mean_rate_is_the_factor_of_the_recorded_one() -> None:
    demand = Demand(factor=0.2, duration_s=20 * 3600, profile=profiles.constant(np.full(480, 36_000), 3600.0))
    count = sum(len(part) for _, part in demand.spans(services_of(6), MODEL))
    assert count / demand.duration_s == pytest.approx(0.2 * sum(SERVICES.values()), rel=0.05)


def test_another_seed_gives_other_requests_and_the_same_gives_the_same() -> None:
    first, again, other = (spans_of(span_s=3600, seed=seed)[0][1].arrival_s for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
