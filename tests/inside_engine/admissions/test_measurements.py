"""A short run of the whole benchmark: every arm at every load, and a run that goes on where one ended."""

from pathlib import Path

import pytest

from benchmarks.admissions import measurements, schedulers
from benchmarks.admissions.measurements import Options

pytestmark = pytest.mark.filterwarnings("ignore")  # vLLM's own

SHORT = Options(
    workloads=("bimodal",),
    loads=(1.0, 1.2),
    seeds=(0,),
    requests=100,
    utilization=0.08,
    steps_timed=5,
    jobs=2,
)


@pytest.fixture(autouse=True)
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measurements, "PROGRESS", tmp_path)
    return tmp_path


def test_every_arm_has_its_runs(progress: Path) -> None:
    found = measurements.measured(SHORT)
    judged, beside = ({arm.name for arm in arms} for arms in (schedulers.JUDGED, schedulers.BESIDE))
    assert {row["arm"] for row in found["runs"] if row["load"] == 1.0} == judged | beside
    assert {row["arm"] for row in found["runs"] if row["load"] == 1.2} == judged
    assert all(row["goodput"] <= row["offered"] for row in found["runs"])
    (knee,) = found["knees"]
    assert dict(knee["tried"])[knee["rate"]] < 0.9
    assert found["costs"]["decision_us"] > 0
    (file,) = progress.iterdir()
    assert len(file.read_text().splitlines()) == 1 + len(found["runs"])
