"""
How well the agent samples a real GPU, and whether the plant's meter is that GPU's.

Three parts. The agent's own code reads the GPU at 4 Hz and at 10 Hz, a minute each while it is
idle and under matrix products. The same fields are read every few milliseconds, while load
steps up and down with plateaus between, for the lags, and while it blinks at random, for
the meter's window. And each question to the driver is asked alone, for its cost.
Nothing is set. Needs a GPU with NVIDIA's driver, and torch for the load.

    python -m benchmarks.gpus.sampling [--seconds 60] [--kept DIR]

Writes benchmarks/results/gpu-sampling.json. `--kept` keeps each part as it is seen, and
takes a part that is there already as it is: what one GPU had no time for can be seen
on the next. With `--dirty` nothing is kept or taken. Status 1: a check failed; 2: there is no GPU.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import commits, machine
from benchmarks.gpus import findings, loads, questions, watching
from benchmarks.gpus.errors import Unmeasured, refusing
from benchmarks.gpus.loads import SEED, Load, Timetable
from benchmarks.gpus.traces import Glances, Pace, Part, Questions, Rounds, Seen, Sensors
from benchmarks.result_files import RESULTS, destination, finish, parser, report
from loadline_agent.hardware import nvml
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_agent.hardware.sensors import GpuSensors

RESULT = RESULTS / "gpu-sampling.json"
RATES_HZ = (1.0 / SAMPLE_EVERY_S, 10.0)
SECONDS, BLINKS_S, SETTLING_S = 60.0, 30.0, 2.0
GLANCE_S, FLASH_S = 0.005, 0.001
PRODUCT, STEADY = ("product", 8_192), ("decode", 1)
"""What draws most, and what draws steadily: no limit binds it, so that it is either on or off."""
EDGES: Timetable = ((1.0, 2.0), (2.0, 2.0), (2.0, 2.0))
EDGES_S = sum(map(sum, EDGES)) + 2.0
READ_BACKS, QUESTION_ROUNDS = 100, 30

P = TypeVar("P", bound=Part)
Stamp = dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    """Measure what wasn't kept, judge, print, write."""
    known = parser("benchmarks.gpus.sampling", __doc__)
    known.add_argument("--seconds", type=float, default=SECONDS, help="of each rate, idle and under load")
    known.add_argument("--blinks-s", type=float, default=BLINKS_S, help="how long load blinks at random")
    known.add_argument("--question-rounds", type=int, default=QUESTION_ROUNDS, help="of the driver")
    known.add_argument("--commit", type=commits.named, help=commits.NAMED_HELP)
    known.add_argument("--note", default="", help="what else is to be known of the machine")
    known.add_argument("--kept", type=Path, help="folder of the parts that were seen")
    known.add_argument("--result", type=Path, default=RESULT)
    options = known.parse_args(arguments)
    target = destination(options.result, writes=not options.dirty, commit=options.commit)
    commit, folder = (target.commit, options.kept) if target is not None else ("", None)
    seen = Seen(
        pace=_part(Pace, see=partial(_pace, options.seconds), commit=commit, kept=folder),
        sensors=_part(Sensors, see=partial(_sensors, options.blinks_s), commit=commit, kept=folder),
        questions=_part(
            Questions, see=partial(_questions, options.question_rounds), commit=commit, kept=folder
        ),
    )
    return finish(_report(seen, options.note), target)


def _part(kind: type[P], *, see: Callable[[GpuSensors, Stamp], P], commit: str, kept: Path | None) -> P:
    path = None if kept is None else kept / f"{kind.__name__.lower()}.json"
    if path is not None and path.exists():
        return kind.model_validate_json(path.read_text("utf-8"))
    with _opened() as gpus:
        facts = watching.facts(gpus, gpus.infos[0].uuid)
        stamp = {
            "commit": commit,
            "machine": f"{facts.name}, driver {facts.driver}; {machine()}",
            "seen_at": datetime.now(UTC).isoformat(timespec="minutes"),
        }
        part = see(gpus, stamp)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(part.model_dump_json() + "\n", "utf-8")
    return part


@contextmanager
def _opened() -> Iterator[GpuSensors]:
    gpus = GpuSensors.open()
    try:
        if not gpus.infos:
            raise Unmeasured("the driver lists no GPU: give this machine one")
        loads.refuse_without_torch()
        yield gpus
    finally:
        gpus.close()


def _pace(seconds: float, gpus: GpuSensors, stamp: Stamp) -> Pace:
    uuid = gpus.infos[0].uuid
    facts, sampled = watching.facts(gpus, uuid), _rounds(gpus, uuid=uuid, name="idle", seconds=seconds)
    with Load(uuid, len(gpus.infos)) as load:
        load.order(*PRODUCT, [(0.0, SETTLING_S + len(RATES_HZ) * (seconds + 1.0))])
        time.sleep(SETTLING_S)
        sampled |= _rounds(gpus, uuid=uuid, name="load", seconds=seconds)
        load.spans()
    return Pace(
        **stamp,
        facts=facts,
        facts_after=watching.facts(gpus, uuid),
        rounds=sampled,
        read_back_us=watching.read_backs_us(gpus, READ_BACKS),
        work=_told(*PRODUCT),
    )


def _rounds(gpus: GpuSensors, *, uuid: str, name: str, seconds: float) -> dict[str, Rounds]:
    return {
        f"{name}_{rate_hz:g}hz": watching.rounds(gpus, uuid, rate_hz=rate_hz, seconds=seconds)
        for rate_hz in RATES_HZ
    }


def _sensors(blinks_s: float, gpus: GpuSensors, stamp: Stamp) -> Sensors:
    device = gpus.device(gpus.infos[0].uuid)
    blinking = loads.blinking(blinks_s, SEED)
    with Load(device.uuid, len(gpus.infos)) as load:
        edges = _glances(device, load, work=PRODUCT, timetable=EDGES, seconds=EDGES_S)
        blinks = _glances(device, load, work=STEADY, timetable=blinking, seconds=blinks_s)
        load.order(*STEADY, blinking)
        seen, buffered = watching.flashes(device, every_s=FLASH_S, seconds=blinks_s)
        flashes = watching.glances_of(seen, work=_told(*STEADY), every_s=FLASH_S, on=load.spans())
    return Sensors(**stamp, edges=edges, blinks=blinks, flashes=flashes, buffered=buffered)


def _glances(
    device: nvml.Device, load: Load, *, work: tuple[str, int], timetable: Timetable, seconds: float
) -> Glances:
    load.order(*work, timetable)
    seen = watching.glances(device, every_s=GLANCE_S, seconds=seconds)
    return watching.glances_of(seen, work=_told(*work), every_s=GLANCE_S, on=load.spans())


def _questions(rounds: int, gpus: GpuSensors, stamp: Stamp) -> Questions:
    device = gpus.device(gpus.infos[0].uuid)
    idle = questions.costs(device, rounds)
    seconds = rounds * len(idle.wall_us) * questions.EVERY_S
    with Load(device.uuid, len(gpus.infos)) as load:
        load.order(*PRODUCT, [(0.0, SETTLING_S + 1.2 * seconds)])
        time.sleep(SETTLING_S)
        loaded = questions.costs(device, rounds)
        load.spans()
    return Questions(**stamp, idle=idle, load=loaded, work=_told(*PRODUCT))


def _told(work: str, size: int) -> str:
    return f"{work} of {size}"


def _report(seen: Seen, note: str) -> dict[str, Any]:
    parts: dict[str, Part] = {"pace": seen.pace, "sensors": seen.sensors, "questions": seen.questions}
    if len({(part.commit, part.machine) for part in parts.values()}) > 1:
        raise Unmeasured("the kept parts are of more than one commit or machine: see them anew")
    results, checks = findings.findings(seen)
    rounds, sensors = seen.pace.rounds.values(), seen.sensors
    return report(
        "gpu-sampling",
        commit=seen.pace.commit,
        on=seen.pace.machine,
        inputs={
            "gpus": seen.pace.facts.gpus,
            "rates_hz": [one.rate_hz for one in rounds],
            "seconds": [round(one.t_s[-1] - one.t_s[0], 1) for one in rounds],
            "work": seen.pace.work,
            "edges": 2 * len(sensors.edges.on),
            "edges_work": sensors.edges.work,
            "blinks": len(sensors.blinks.on),
            "blinks_work": sensors.blinks.work,
            "read_backs": len(seen.pace.read_back_us),
            "note": note,
            "seen_at": {name: part.seen_at for name, part in parts.items()},
        },
        seeds=[SEED],
        results=results,
        checks=checks,
    )


if __name__ == "__main__":
    sys.exit(refusing(main))
