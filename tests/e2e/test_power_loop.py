"""
The power loop end to end: kubectl at one end, limits on GPUs at the other.

Real API server, operator, agents and guards on four nodes, brought up as the demo does.
The draw is put on the sensors by hand, so that thresholds are crossed when the test
says so, and what is looked at is the board: the limits and clocks in force.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demos.power import manifests
from demos.power.rows import LiveRow
from loadline_api import names
from loadline_cli import main
from loadline_cli.exits import Exit
from loadline_policies.documents import parse_power
from loadline_policies.models import parameters
from loadline_policies.power.polca import Config
from loadline_sim.demo import acts, scenarios

NODES = 4
PATIENCE_S = 40.0


class Row:
    """The live row, with what a test says to it and asks of it."""

    def __init__(self, live: LiveRow) -> None:
        self.live = live
        config = parse_power(acts.POLICY).config
        assert isinstance(config, Config)
        self.config = config
        self.low = np.array([service == "code" for service in live.services])

    def draw(self, load: float) -> None:
        """Put the row at a share of its budget."""
        scenario, model = self.live.scenario, self.live.model
        each = (load * scenario.budget_watts / scenario.servers - model.host_watts) / model.gpus
        self.live.board.set_sensors(watts=each)

    def switch(self, mode: str) -> None:
        patch = json.dumps({"spec": {"mode": mode}})
        name = self.live.scenario.name
        self.live.bed.kubectl("patch", "powerdomain", name, "--type", "merge", "--patch", patch)

    @property
    def level(self) -> str:
        found = self.live.bed.client.get(names.POWER_DOMAINS.path(self.live.scenario.name))
        return str(found.get("status", {}).get("level"))

    @property
    def armed(self) -> list[bool]:
        return [member.record().armed for member in self.live.members.values()]

    def clocks(self, chosen: Any) -> set[int]:
        """Locked clocks on the chosen nodes; 0 is none."""
        return set(self.live.board.locked_mhz()[chosen].ravel().tolist())

    def limits(self) -> set[float]:
        return set(self.live.board.enforced_watts().ravel().tolist())

    def until(self, holds: Callable[[], bool], always: Callable[[], bool] = lambda: True) -> None:
        """Wait for something, and see that something else holds all the while."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert always(), f"the row is at level {self.level}"
            assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s; level {self.level}"
            time.sleep(0.02)
        assert always()


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    """Four nodes, two of them with a service of high priority."""
    out: Path = tmp_path_factory.mktemp("row")
    scenario = manifests.shortened(scenarios.load(), NODES)
    with LiveRow(scenario, parameters.load(), out=out, progress=lambda what, share: None) as live:
        yield Row(live)


def drill(row: Row, report: Path) -> None:
    """Hold the free row at its safe limits by the command line, as a person would."""
    row.until(lambda: row.limits() == {400.0})
    held: list[float] = []
    kubeconfig = str(row.live.bed.kubeconfig)
    arguments = ["drill", row.live.scenario.name, "--yes", "--seconds", "5", "--report", str(report)]
    with ThreadPoolExecutor() as threads:
        ended = threads.submit(main.run, [*arguments, "--kubeconfig", kubeconfig], "loadline")
        while not ended.done():
            held.append(max(row.limits()))
            time.sleep(0.1)
    found = json.loads(report.read_text()) if report.exists() else {}
    assert ended.result() == Exit.OK, found
    assert found["drill"]["gpusAtSafe"] == found["plan"]["gpus"] == 8 * NODES
    assert min(held) < 260.0, "what the report says was so on the board"
    row.until(lambda: row.limits() == {400.0})


def test_low_priority_is_capped_first_and_nothing_is_left(row: Row, tmp_path: Path) -> None:
    config, high = row.config, ~row.low
    assert sorted(row.live.services) == ["chat", "chat", "code", "code"]

    row.draw(0.97)
    row.until(lambda: row.level == "High")
    assert row.live.board.writes().sum() == 0, "Observe must not write"

    row.draw(0.80)
    row.until(lambda: row.level == "Normal")
    row.switch("Enforce")
    row.until(lambda: all(row.armed))

    row.draw(0.92)
    row.until(
        lambda: row.clocks(row.low) == {config.low_shallow_mhz},
        always=lambda: row.clocks(high) == {0},
    )
    row.draw(0.97)
    row.until(
        lambda: row.clocks(row.low) == {config.low_deep_mhz},
        always=lambda: row.clocks(high) == {0},
    )
    row.until(lambda: row.clocks(high) == {config.high_mhz})

    row.draw(1.02)
    row.until(lambda: max(row.limits()) < 260.0)

    row.draw(0.60)
    drill(row, tmp_path / "drill.json")
    row.switch("Observe")
    row.until(lambda: row.limits() == {400.0} and row.clocks(row.low) | row.clocks(high) == {0})
    row.until(lambda: not any(row.armed))
