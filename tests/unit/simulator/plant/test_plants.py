"""The row's true state: nothing is lost, nothing is free, and limits bind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadline_policies.models import latencies, parameters
from loadline_sim.arrays import Floats
from loadline_sim.plant.hardware import TICK_S
from loadline_sim.plant.plants import Plant, PlantConfig
from loadline_sim.traffic import arrivals, recordings
from loadline_sim.traffic.arrivals import Arrivals
from loadline_sim.traffic.traces import Trace

MODEL = parameters.load()
SERVICES = ("chat", "code") * 3


def azure(seconds: float = 120.0) -> Arrivals:
    """Six servers' share of two busy minutes."""
    parts = {
        name: arrivals.scaled(trace.between(1200.0, 1200.0 + seconds), 0.08, seed=1)
        for name, trace in recordings.azure_2023().items()
    }
    return arrivals.routed(parts, SERVICES, MODEL, origin_s=1200.0)


def one_server(*requests: tuple[float, int, int]) -> Arrivals:
    """Requests of (arrival, prompt tokens, output tokens), all to one server."""
    arrival_s, prompts, outputs = zip(*requests, strict=True)
    trace = Trace(np.array(arrival_s, dtype=np.float64), np.array(prompts), np.array(outputs))
    return arrivals.routed({"chat": trace}, ("chat",), MODEL, origin_s=0.0)


def plant(requests: Arrivals, servers: int = len(SERVICES), **config: float) -> Plant:
    """A plant of that many servers."""
    return Plant(PlantConfig(servers=servers, budget_watts=28e3, model=MODEL, **config), requests)  # type: ignore[arg-type]


def limited(row: Plant, *, watts: float = 400.0, mhz: int = 1410) -> Plant:
    """The plant with one limit and one clock for all its GPUs."""
    shape = row.sensors.gain.shape
    row.set_limits(np.full(shape, watts), np.full(shape, mhz))
    return row


def drained(row: Plant, seconds: float = 600.0) -> Floats:
    """The latencies once everything has been served."""
    row.run_until(seconds)
    return row.served().latency_s


def test_every_request_is_served_once() -> None:
    row = plant(azure())
    assert not np.isnan(drained(row)).any()
    assert (row.servers.batch == 0).all()
    assert (row.servers.prefilling == -1).all()


def test_a_lone_request_takes_what_the_models_say() -> None:
    row = plant(one_server((1.0, 1024, 100)), servers=1)
    token_s = latencies.decode_s(MODEL.latencies, batch=1, clock_mhz=1410)
    row.run_until(30.0)
    served = row.served()
    first_s = latencies.prefill_s(MODEL.latencies, prompt_tokens=1024, clock_mhz=1410)
    assert served.ttft_s[0] == pytest.approx(first_s, rel=0.01)
    assert served.latency_s[0] - served.ttft_s[0] == pytest.approx(99 * token_s, abs=1e-4)


def test_an_answer_of_one_token_ends_with_its_prefill() -> None:
    row = plant(one_server((0.0, 1024, 1)), servers=1)
    row.run_until(5.0)
    assert row.served().latency_s[0] == row.served().ttft_s[0]


def test_a_prompt_pre_empts_decode() -> None:
    alone = drained(plant(one_server((0.0, 1024, 100)), servers=1))[0]
    row = plant(one_server((0.0, 1024, 100), (2.0, 4096, 10)), servers=1)
    assert drained(row)[0] > alone + 1.3


def test_the_seventeenth_waits_for_a_place() -> None:
    row = plant(one_server(*((0.0, 64, 200) for _ in range(17))), servers=1)
    row.run_until(60.0)
    served = row.served()
    assert served.ttft_s[16] > served.latency_s[:16].min()


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [plant(azure()).run_until(60.0) for _ in range(2)]
    assert np.array_equal(runs[0][0], runs[1][0])
    assert np.array_equal(runs[0][1], runs[1][1])


def test_ticks_may_be_taken_one_by_one() -> None:
    at_once, one_by_one = plant(azure()), plant(azure())
    whole, _ = at_once.step(400)
    assert np.array_equal(whole, np.concatenate([one_by_one.step()[0] for _ in range(400)]))


def test_the_widest_limits_change_nothing() -> None:
    assert np.array_equal(drained(plant(azure())), drained(limited(plant(azure()))))


def test_energy_is_the_integral_of_watts() -> None:
    row = plant(azure())
    watts, _ = row.run_until(60.0)
    gpus = row.servers.joules.sum() * MODEL.gpus
    assert gpus + row.hosts_watts * 60.0 == pytest.approx(watts.sum() * TICK_S, rel=1e-9)


@pytest.mark.slow
@settings(max_examples=min(10, settings().max_examples // 4), deadline=None)
@given(st.integers(210, 1410), st.integers(210, 1410))
def test_a_lower_clock_never_shortens_a_latency(one: int, other: int) -> None:
    low, high = sorted((one, other))
    slow = drained(limited(plant(azure(30.0)), mhz=low))
    fast = drained(limited(plant(azure(30.0)), mhz=high))
    assert (slow >= fast - 1e-6).all()


@pytest.mark.parametrize("mhz", [288, 1110, 1275])
def test_a_lower_clock_lowers_the_highest_draw(mhz: int) -> None:
    free, _ = plant(azure()).run_until(120.0)
    slowed, _ = limited(plant(azure()), mhz=mhz).run_until(120.0)
    assert slowed.max() < free.max()


@settings(max_examples=min(15, settings().max_examples // 4), deadline=None)
@given(st.floats(150.0, 400.0))
def test_a_limit_binds_from_the_tick_after_a_phase_began(watts: float) -> None:
    row = limited(plant(one_server((0.0, 8192, 200)), servers=1), watts=watts)
    for _ in range(160):
        row.step()
        if row.ticks > 2:
            assert row.servers.watts[0] <= watts + 1e-6 or row.clock_mhz[0] == 210


def test_a_limit_below_what_the_lowest_clock_draws_leaves_the_lowest_clock() -> None:
    row = limited(plant(one_server((0.0, 64, 400)), servers=1), watts=100.0)
    row.run_until(5.0)
    assert row.clock_mhz[0] == 210
    assert row.servers.watts[0] > 100.0


def test_the_tightest_gpu_binds_its_server() -> None:
    row = plant(one_server((0.0, 8192, 200)), servers=1)
    watts, clocks = np.full((1, 8), 400.0), np.full((1, 8), 1410)
    clocks[0, 5] = 900
    row.set_limits(watts, clocks)
    row.step(10)
    assert row.clock_mhz[0] == 900


def test_a_meter_is_off_by_its_gain_at_most() -> None:
    row = plant(azure())
    true, reported = row.run_until(120.0)
    off = (reported.mean() - row.hosts_watts) / (true.mean() - row.hosts_watts)
    assert abs(off - 1.0) <= 0.05
    assert row.sensors.gain.max() - row.sensors.gain.min() > 0.05


def test_a_meter_holds_its_value_between_its_looks() -> None:
    row = plant(azure())
    row.run_until(20.0)
    seen = []
    for _ in range(40):
        row.step()
        seen.append(float(row.sensors.instant_watts[1, 0]))
    assert len(set(seen)) <= 11


def test_the_averaged_field_follows_a_second_late() -> None:
    row = plant(one_server((0.0, 8192, 200)), servers=1)
    row.run_until(1.0)
    idle = 80.0
    shares = (row.sensors.average_watts - idle * row.sensors.gain) / (
        row.sensors.instant_watts - idle * row.sensors.gain
    )
    assert np.allclose(shares, 1 - np.exp(-1.0), atol=0.05)
