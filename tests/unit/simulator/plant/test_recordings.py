"""A recording comes back from its file as it was, baseline and story included."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from loadline_policies.models import parameters
from loadline_sim.demo import replays, scenarios
from loadline_sim.plant.recordings import Act, Level, Recording

MODEL = parameters.load()


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Twelve seconds of a small row, told and with a baseline."""
    scenario = scenarios.load().model_copy(update={"window_s": 12.0, "servers": 4})
    services = scenarios.alternating(4)
    free = replays.uncapped(scenario, MODEL, services)
    capped = replays.under_clocks(
        scenario,
        MODEL,
        services_of_servers=services,
        locked_mhz={"code": 1110},
        mode="Low priority at 1110 MHz",
    )
    act = Act(name="observe", title="Observe", start_s=0.0, end_s=12.0)
    return capped.with_story((act,), (Level(t_s=0.0, level="Normal"),), ((0.0, 0.9, 0.95),)).with_baseline(
        free
    )


def same(one: object, other: object) -> bool:
    """Whether two parts of recordings are equal, NaN being equal to itself."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return one == other


def test_a_recording_survives_its_file(recording: Recording, tmp_path: Path) -> None:
    recording.save(tmp_path / "run.npz")
    loaded = Recording.load(tmp_path / "run.npz")
    assert loaded.baseline is not None
    assert recording.baseline is not None
    for written, read in ((recording, loaded), (recording.baseline, loaded.baseline)):
        for field in fields(Recording):
            if field.name not in ("baseline", "requests"):
                assert same(getattr(written, field.name), getattr(read, field.name)), field.name
        for field in fields(type(written.requests)):
            assert same(getattr(written.requests, field.name), getattr(read.requests, field.name)), field.name


def test_series_have_one_entry_per_tick(recording: Recording) -> None:
    assert recording.t_s.size == recording.row_watts.size == recording.heat.size == 480
    assert recording.t_s[-1] == pytest.approx(12.0)
    assert recording.node_watts.shape == (12, 4)


def test_clocks_are_told_by_priority(recording: Recording) -> None:
    assert (recording.low_clock_mhz <= 1110.0).all()
    assert recording.high_clock_mhz.max() == 1410.0


def test_only_requests_of_the_window_are_told(recording: Recording) -> None:
    assert min(recording.requests.arrival_s) >= 0.0
    assert set(recording.requests.priority) <= {"low", "high"}
    assert len(recording.requests.service) == recording.requests.latency_s.size


def test_the_baseline_serves_the_same_requests(recording: Recording) -> None:
    assert recording.baseline is not None
    assert np.array_equal(recording.requests.arrival_s, recording.baseline.requests.arrival_s)
    assert recording.requests.service == recording.baseline.requests.service
