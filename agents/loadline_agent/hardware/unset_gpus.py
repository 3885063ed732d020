"""
What a node tells of its GPUs that nobody can set: those without a range, and those that can't be opened.

They are told all the same, since they draw: each at the most that it may, as the lowest and the highest
that it can hold, and as where it falls. So a coordinator that counts on nothing of them needs to know
nothing of why, waits for no acknowledgement, and has the other GPUs of the node as they are.
"""

from collections.abc import Mapping

from loadline_agent.hardware.opened_gpus import GpuInfo, missing
from loadline_agent.hardware.sensors import GpuSample, GpuSensors
from loadline_policies.power.protocol.bounds import GPUS
from loadline_policies.power.protocol.node_states import GpuFault, GpuState


def rangeless_state(sample: GpuSample, info: GpuInfo, *, safe: Mapping[str, float], armed: bool) -> GpuState:
    """A GPU that is read and never written."""
    state = _unset(info.uuid, most_watts=info.max_watts, fault=sample.fault, safe=safe, armed=armed)
    return state._replace(sensor_watts=sample.watts, ok=sample.ok, age_s=sample.age_s)


def unopened_states(gpus: GpuSensors, *, safe: Mapping[str, float], armed: bool) -> tuple[GpuState, ...]:
    """GPUs that the driver counts, or the record by its `safe` limits, and that can't be opened."""
    absent = [uuid for uuid in safe if uuid not in gpus.uuids]
    if not absent and not gpus.unopened:
        return ()
    faults = list(missing(absent, gpus.unopened).items())[: GPUS[1] - len(gpus.uuids)]
    return tuple(
        [
            _unset(uuid, most_watts=gpus.most_watts(uuid), fault=fault, safe=safe, armed=armed)
            for uuid, fault in faults
        ]
    )


def _unset(
    uuid: str, *, most_watts: float, fault: GpuFault | None, safe: Mapping[str, float], armed: bool
) -> GpuState:
    return GpuState(
        uuid=uuid,
        sensor_watts=0.0,
        min_watts=most_watts,
        max_watts=most_watts,
        ok=False,
        fault=fault,
        safe_watts=safe.get(uuid, most_watts if armed else None),
        able=False,
        proven=False,
        has_range=False,
    )
