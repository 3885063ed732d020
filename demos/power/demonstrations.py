"""
The live demo: runs the script on real processes, recorded by the plant, beside an uncapped replay.

It follows the same cues on the same minutes of the traces as the simulator's virtual demo, and
returns the same two results, so that one report serves both. `loadline demo` imports it by
name, from a checkout; `benchmarks.demo` runs it without a terminal.

The demo ends once the released row has its original limits back, or two minutes after the release
at the latest. It stops every process that it started, also after an error.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demos.power import plants, screens
from demos.power.conductors import Conductor
from demos.power.costs import Costs
from demos.power.rows import LiveRow
from demos.power.watches import Watch
from loadline_policies.models import parameters
from loadline_sim.demo import acts, replays, scenarios
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.plant.recordings import Act, Recording
from loadline_sim.progress import Progress
from loadline_sim.reports import runs
from loadline_sim.reports.runs import Run
from loadline_sim.reports.snapshots import Show

OUT = Path("build/demo")
LOOK_EVERY_S, SHOW_EVERY_S, COST_EVERY_S = 0.1, 1.0, 5.0
RELEASED_WITHIN_S = 120.0
"""The check's deadline: by then every GPU must have its original limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The results of a run that are not in the plant's recording."""

    end_s: float
    limits_left: int
    policy_edit_s: float
    cores_busy: float
    cpu_seconds: dict[str, float]


def run_live(seed: int, progress: Progress, *, show: Show) -> tuple[Recording, Run]:
    """Run the whole demo. `seed` has no effect: real processes have their own timing."""
    del seed
    recording, run, _ = perform(scenarios.load(), OUT, progress=progress, show=show)
    return recording, run


def perform(
    scenario: Scenario, out: Path, *, progress: Progress, show: Show
) -> tuple[Recording, Run, Outcome]:
    """Run the demo on a scenario's row, with logs under `out`; returns recording, facts and costs."""
    began_s = time.monotonic()
    model = parameters.load()
    with LiveRow(scenario, model, out=out, progress=progress) as row:
        progress("replaying the row uncapped", 0.0)
        baseline = replays.uncapped(scenario, model, row.services)
        progress("replaying the row uncapped", 1.0)
        outcome, watch = _play(row, baseline, show)
        row.stop_plant()
        recorded = Recording.load(row.plant_out / "recording.npz")
        reactions = plants.reactions_in(row.plant_out / "reactions.json")
    story = _story(outcome.end_s)
    recording = recorded.with_story(story, tuple(watch.levels), tuple(watch.thresholds))
    recording = recording.with_baseline(baseline)
    recording.save(out / "recording.npz")
    measured = {
        "limits_left_after_release": float(outcome.limits_left),
        "policy_edit_s": outcome.policy_edit_s,
        "cores_busy": outcome.cores_busy,
        "minutes": (time.monotonic() - began_s) / 60.0,
    }
    return recording, runs.run_of(recording, kind=runs.LIVE, reactions=reactions, measured=measured), outcome


def _play(row: LiveRow, baseline: Recording, show: Show) -> tuple[Outcome, Watch]:
    row.start_plant()
    costs, watch = Costs(row.bed.directory), Watch(row)
    conductor = Conductor(row, watch, costs=costs)
    screen = screens.Screen(row, watch, conductor=conductor, uncapped=baseline.requests)
    watch.start()
    try:
        _until(
            lambda: _over(row, watch, conductor),
            (LOOK_EVERY_S, conductor.go_on),
            (SHOW_EVERY_S, lambda: _show(screen, show)),
            (COST_EVERY_S, costs.look),
        )
        costs.look()
        return _outcome(row, watch, conductor=conductor, costs=costs), watch
    finally:
        conductor.close()
        watch.close()


def _over(row: LiveRow, watch: Watch, conductor: Conductor) -> bool:
    if not conductor.finished:
        return False
    released_s = acts.ACTS[-1].start_s
    return screens.caps_of(row, row.model).gpus_left == 0 or watch.now_s > released_s + RELEASED_WITHIN_S


def _outcome(row: LiveRow, watch: Watch, *, conductor: Conductor, costs: Costs) -> Outcome:
    return Outcome(
        end_s=watch.now_s,
        limits_left=screens.caps_of(row, row.model).gpus_left,
        policy_edit_s=max(conductor.policy_edits_s, default=float("nan")),
        cores_busy=costs.cores_busy(),
        cpu_seconds=costs.by_component(),
    )


def _show(screen: screens.Screen, show: Show) -> None:
    snapshot = screen.snapshot()
    if snapshot is not None:
        show(snapshot)


def _until(over: Callable[[], bool], *works: tuple[float, Callable[[], None]]) -> None:
    """Call each of the works at its interval in seconds, until `over` returns True."""
    due_s = dict.fromkeys(works, 0.0)
    while not over():
        now_s = time.monotonic()
        for work in works:
            if due_s[work] <= now_s:
                due_s[work] = now_s + work[0]
                work[1]()
        time.sleep(LOOK_EVERY_S / 2)


def _story(end_s: float) -> tuple[Act, ...]:
    """The acts as they ran; the last one ends with the recording."""
    return tuple(
        Act(
            name=act.name,
            title=act.title,
            start_s=act.start_s,
            end_s=end_s if act is acts.ACTS[-1] else act.end_s,
            detail=act.detail,
        )
        for act in acts.ACTS
    )
