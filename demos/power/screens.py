"""
Builds the snapshots of the live row that the terminal shows, once a second.

Watts, heat, clocks and latencies come from the plant, the caps from the fake board, the level and
the journal from the watch.
"""

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demos.power import latencies
from demos.power.conductors import Conductor
from demos.power.rows import LiveRow
from demos.power.watches import Watch
from loadline_policies.models.parameters import ServerModel
from loadline_sim.demo import acts, replays, scenarios
from loadline_sim.demo.acts import Act
from loadline_sim.plant.live import Snapshot as PlantNow
from loadline_sim.plant.recordings import Requests
from loadline_sim.reports.snapshots import ActNow, ServiceNow, Snapshot, Stage

HISTORY = 240
SHOWN_LINES = 12
UNKNOWN = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Which nodes have a lowered limit or clock, and how many GPUs in total (`gpus_left`)."""

    lowered: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    gpus_left: int


class Screen:
    """Builds snapshots of a live row."""

    def __init__(self, row: LiveRow, watch: Watch, *, conductor: Conductor, uncapped: Requests) -> None:
        self._row, self._watch, self._conductor = row, watch, conductor
        self._uncapped = uncapped
        self._history: deque[float] = deque(maxlen=HISTORY)

    def snapshot(self) -> Snapshot | None:
        """The row now; None before the plant has written its first snapshot."""
        now = plant_now(self._row.plant_out / "snapshot.json")
        if now is None:
            return None
        self._history.append(now.row_watts)
        scenario, sight = self._row.scenario, self._watch.sight
        thresholds = self._watch.thresholds[-1][1:] if self._watch.thresholds else ()
        return Snapshot(
            at_s=now.t_s,
            domain=scenario.name,
            servers=scenario.servers,
            provisioned_servers=scenario.base_servers,
            mode=sight.mode,
            level=sight.level,
            row_watts=now.row_watts,
            budget_watts=now.budget_watts,
            heat=now.heat,
            trips=now.trips,
            thresholds=thresholds,
            history_watts=tuple(self._history),
            services=self._services(now),
            acts=tuple(self._act(number, act, now_s=now.t_s) for number, act in enumerate(acts.ACTS, 1)),
            journal=tuple(self._watch.journal[-SHOWN_LINES:]),
        )

    def _services(self, now: PlantNow) -> tuple[ServiceNow, ...]:
        capped = latencies.read(self._row.plant_out / "latencies.json")
        uncapped = latencies.recent(
            self._uncapped.service,
            arrival_s=self._uncapped.arrival_s,
            latency_s=self._uncapped.latency_s,
            now_s=now.t_s,
        )
        return tuple(
            self._service(
                name, now=now, capped_s=capped.get(name, UNKNOWN), uncapped_s=uncapped.get(name, UNKNOWN)
            )
            for name in scenarios.SERVICES
        )

    def _service(
        self,
        name: str,
        *,
        now: PlantNow,
        capped_s: tuple[float | None, float | None],
        uncapped_s: tuple[float | None, float | None],
    ) -> ServiceNow:
        nodes = np.array([service == name for service in self._row.services])
        lowered = caps_of(self._row, self._row.model).lowered
        return ServiceNow(
            name=name,
            priority=str(replays.PRIORITIES[name]),
            servers=int(nodes.sum()),
            capped=int(lowered[nodes].sum()),
            clock_mhz=float(np.array(now.clock_mhz)[nodes].mean()),
            p50_s=capped_s[0],
            p99_s=capped_s[1],
            uncapped_p50_s=uncapped_s[0],
            uncapped_p99_s=uncapped_s[1],
        )

    def _act(self, number: int, act: Act, *, now_s: float) -> ActNow:
        stage = Stage.WAITING if now_s < act.start_s else Stage.RUNNING if now_s < act.end_s else Stage.DONE
        share = min(max((now_s - act.start_s) / (act.end_s - act.start_s), 0.0), 1.0)
        note = self._conductor.notes.get(act.name, "")
        return ActNow(number=number, title=act.title, stage=stage, share=share, note=note)


def plant_now(path: Path) -> PlantNow | None:
    """Read the plant's own snapshot; None while there is none."""
    try:
        return PlantNow(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None


def caps_of(row: LiveRow, model: ServerModel) -> Caps:
    """The nodes and GPUs whose limit or clock differs from the original one."""
    left = (row.board.enforced_watts() < model.watts.tdp_watts) | (row.board.locked_mhz() != 0)
    return Caps(lowered=left.any(axis=1), gpus_left=int(left.sum()))
