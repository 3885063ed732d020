"""
What a run of `sampling` comes to: figures of the agent and of the sensors, each against what is believed.

Believed are three things, and a GPU may belie each: that a draw is on the meter within
`Timings.sensor_s`, on which the safe states rest; that a meter looks as the plant's does; and
that the agent's own readings cost little, miss nothing and raise no false alarm.

Everything is made from what was kept, so that it can be made again without the GPU.
"""

from benchmarks.gpus import pace_findings, sensor_findings
from benchmarks.gpus.traces import Seen
from benchmarks.result_files import Check, Result


def findings(seen: Seen) -> tuple[dict[str, Result], tuple[Check, ...]]:
    """Results and checks of a run."""
    paced, sensed = pace_findings.figures(seen.pace), sensor_findings.figures(seen.sensors)
    results = {**paced, **pace_findings.costs(seen.questions), **sensed}
    return results, (*pace_findings.checks(seen.pace), *sensor_findings.checks(sensed))
