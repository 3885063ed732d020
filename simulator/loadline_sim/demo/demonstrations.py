"""
The virtual demo: runs the demo's script in virtual time and records it, beside an uncapped replay.

It follows the same cues on the same minutes of the traces as the live demo, and gives the
same report. Network, API server and hardware are models; see `virtual_rows`.
"""

from collections.abc import Callable

from loadline_policies.models import parameters
from loadline_policies.models.parameters import ServerModel
from loadline_sim.demo import acts, replays, scenarios
from loadline_sim.demo.virtual_rows import VirtualRow
from loadline_sim.plant.recordings import Act, Level, Recorder, Recording
from loadline_sim.progress import Progress
from loadline_sim.reports import runs
from loadline_sim.reports.runs import Run

STEP_S = 5.0


def run_virtual(
    seed: int, progress: Progress, *, journalled: Callable[[str], None] | None = None
) -> tuple[Recording, Run]:
    """Run the whole demo; `seed` determines the network's delays and when each agent samples.

    `journalled` gets each line of the coordinators' journals.
    """
    model, scenario = parameters.load(), scenarios.load()
    progress("warming up the row", 0.0)
    row = VirtualRow(scenario, model, seed=seed, journalled=journalled)
    progress("warming up the row", 1.0)
    recorder = RowRecorder(row, model)
    end_s = acts.ACTS[-1].end_s
    while row.plant.now_s < end_s - 1e-9:
        row.run_until(min(row.plant.now_s + STEP_S, end_s))
        progress("running the row with Loadline", min(1.0, row.plant.now_s / end_s))
    progress("running the same row uncapped", 0.0)
    recording = recorder.recording().with_baseline(replays.uncapped(scenario, model, row.services))
    progress("running the same row uncapped", 1.0)
    measured = {"limits_left_after_release": float(row.limits_left())}
    run = runs.run_of(recording, kind=runs.VIRTUAL, reactions=row.reactions.reactions, measured=measured)
    return recording, run


class RowRecorder:
    """Records a virtual row: its time series, levels and thresholds."""

    def __init__(self, row: VirtualRow, model: ServerModel) -> None:
        self.row = row
        meta = replays.meta_of(row.scenario, model, mode="Virtual")
        self._recorder = Recorder(
            row.plant, meta, services_of_servers=row.services, priorities=replays.PRIORITIES
        )
        self._levels: list[Level] = []
        self._thresholds: list[tuple[float, float, float]] = []
        row.on_tick = self._tick

    def recording(self) -> Recording:
        """The run so far, with its acts, levels and thresholds."""
        story = tuple(
            Act(name=act.name, title=act.title, start_s=act.start_s, end_s=act.end_s, detail=act.detail)
            for act in acts.ACTS
        )
        return self._recorder.finish().with_story(story, tuple(self._levels), tuple(self._thresholds))

    def _tick(self, now_s: float) -> None:
        self._recorder.tick()
        level = self.row.level
        if not self._levels or self._levels[-1].level != level:
            self._levels.append(Level(t_s=now_s, level=level))
        first, second, *_ = (threshold.load for threshold in self.row.thresholds())
        if not self._thresholds or self._thresholds[-1][1:] != (first, second):
            self._thresholds.append((now_s, first, second))
