"""
A node's GPUs with the record of its agent, as the agent's own `node_gpus` keeps them.

The order of things is the same: the record first, then the hardware; disarmed only once what
was found is back. Agent and guard fall by the product's own rule, and a write is one that is
read back: by what is requested, which hardware here takes at once or never.
"""

from dataclasses import dataclass

from loadline_policies.power.protocol.foreign_writes import ForeignWrites
from loadline_policies.power.protocol.messages import Act, Lease
from loadline_policies.power.protocol.node_states import UNREADABLE_AFTER_S, GpuState, NodeState
from loadline_policies.power.protocol.release_tries import ReleaseTries
from loadline_policies.power.protocol.step_downs import lowered_mw
from loadline_policies.power.protocol.write_proofs import WriteProof
from loadline_sim.virtual.hardware import Hardware

SAMPLE_AGE_S = 0.1
"""How old a reading is when it is sampled: a sensor's period. Assumed."""


@dataclass(slots=True)
class AgentRecord:
    """What the agent shares with its guard, and what outlives a crash."""

    armed: bool = False
    deadline_s: float = float("inf")
    plan_version: int = 0
    safe_watts: tuple[float, ...] = ()
    found_watts: tuple[float, ...] = ()
    domain: str = ""


class VirtualGpus:
    """Sets and reads one node's GPUs; `record` outlives the agent's process, `faults` are what it finds.

    What a release couldn't give back is left behind: by GPU what it was asked for then, and what was found.
    `failing` are the GPUs whose setters fail, `lost` those that answer nothing: of them is known
    what was read last.
    """

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.record = AgentRecord()
        self.faults: dict[str, str] = {}
        self.failing: set[int] = set()
        self.lost: set[int] = set()
        self._tries = ReleaseTries[int]()
        self._left: dict[int, tuple[float, float]] = {}
        self._clocks: list[int | None] = [None] * len(hardware.rating.gpus)
        self.open()

    def open(self) -> None:
        """Begin as a new process does, which has read nothing and knows of no write that failed.

        A GPU that doesn't answer may hold anything.
        """
        most_watts = [gpu.max_watts for gpu in self.hardware.rating.gpus]
        self._last_enforced, self._last_requested = list(most_watts), list(most_watts)
        self._proofs = [WriteProof() for _ in self.hardware.rating.gpus]
        self._foreign = [ForeignWrites() for _ in self.hardware.rating.gpus]
        self._read_s = [float("-inf") for _ in self.hardware.rating.gpus]

    def carry_out(self, lease: Lease, deadline_s: float, now: float) -> int:
        """Put a lease on the GPUs, or give back what was found; how many setters wrote."""
        if lease.act is Act.RELEASE:
            return self.restore(now)
        found = self.record.found_watts if self.record.armed else self._found()
        safe = tuple(limit.safe_watts for limit in lease.limits)
        self.record = AgentRecord(True, deadline_s, lease.plan_version, safe, found, lease.domain)
        limits = enumerate(lease.limits)
        return sum(self._set(index, one.watts, one.clock_mhz, now=now) for index, one in limits)

    def step_down(self, now: float) -> None:
        """Every GPU to min(current, safe); the record stays armed."""
        rows = zip(
            self._enforced(),
            self._requested(),
            self.record.safe_watts,
            self.hardware.rating.gpus,
            strict=True,
        )
        for index, (enforced, requested, safe, gpu) in enumerate(rows):
            target_mw = lowered_mw(
                enforced_mw=round(enforced * 1000),
                requested_mw=round(requested * 1000),
                safe_mw=round(safe * 1000),
                lowest_mw=round(gpu.min_watts * 1000),
            )
            if target_mw is not None:
                self._write(index, target_mw / 1000, now)

    def look(self, now: float) -> NodeState:
        """Sensors, limits and record at one moment."""
        record, enforced, requested = self.record, self._enforced(), self._requested()
        unreadable = self._unreadable(now)
        if record.armed:
            for foreign, watts, safe_watts in zip(self._foreign, requested, record.safe_watts, strict=True):
                foreign.seen(watts, safe_watts=safe_watts, now=now)
        sensors = self.hardware.watts()
        return NodeState(
            gpus=tuple(
                [
                    self._gpu_state(index, watts, now, limits=None if index in unreadable else limits)
                    for index, (watts, *limits) in enumerate(zip(sensors, enforced, requested, strict=True))
                ]
            ),
            sampled_s=now,
            read_s=now,
            armed=record.armed,
            deadline_s=record.deadline_s,
            plan_version=record.plan_version,
            domain=record.domain,
            settled=enforced == requested,
            settable=self.hardware.rating.settable,
            faults=dict(self.faults),
        )

    def able(self, now: float) -> list[bool]:
        """Which GPUs the node believes that it can lower, by its looks so far."""
        return [self._able(index, now) for index in range(len(self._proofs))]

    def _able(self, index: int, now: float) -> bool:
        return self._proofs[index].able and not self._foreign[index].often(now)

    def _gpu_state(self, index: int, watts: float, now: float, *, limits: list[float] | None) -> GpuState:
        """One GPU; `limits` are the enforced and the requested one, None where they can't be read."""
        record, gpu = self.record, self.hardware.rating.gpus[index]
        enforced, requested = limits if limits is not None else (None, None)
        most_foreign = self._foreign[index].highest_watts(now)
        return GpuState(
            uuid=gpu.uuid,
            sensor_watts=watts,
            min_watts=gpu.min_watts,
            max_watts=gpu.max_watts,
            ok=index not in self.lost,
            age_s=SAMPLE_AGE_S,
            enforced_watts=enforced,
            requested_watts=None if requested is None else max(requested, most_foreign),
            safe_watts=record.safe_watts[index] if record.safe_watts else None,
            clock_mhz=self._clocks[index],
            able=self._able(index, now),
            proven=self._proofs[index].proven,
            found_watts=record.found_watts[index] if record.armed else self._found()[index],
        )

    def restore(self, now: float) -> int:
        """Give back what was found; disarmed once it is back, or was tried three times on every GPU left."""
        found = tuple(enumerate(self.record.found_watts))
        writes = sum(self._set(index, watts, None, now=now) for index, watts in found)
        asked = self._requested()
        left = {index: watts for index, watts in found if asked[index] != watts and index not in self.lost}
        self._tries.count(left)
        if self._tries.over:
            self.record, self._tries = AgentRecord(), ReleaseTries()
            self._left = {index: (asked[index], watts) for index, watts in left.items()}
        return writes

    def _found(self) -> tuple[float, ...]:
        """What holds without us; a limit that was left behind, and nobody has set since, is ours."""
        asked = self._requested()
        theirs = {index: found for index, (left, found) in self._left.items() if asked[index] == left}
        return tuple([theirs.get(index, watts) for index, watts in enumerate(asked)])

    def _set(self, index: int, watts: float, clock_mhz: int | None, *, now: float) -> int:
        """What is in force already isn't written; whether anything was."""
        limit, clock = self._requested()[index] != watts, self._clocks[index] != clock_mhz
        if limit:
            limit = self._write(index, watts, now)
        if clock:
            self.hardware.set_clock(index, clock_mhz)
            self._clocks[index] = clock_mhz
        return int(limit or clock)

    def _write(self, index: int, watts: float, now: float) -> bool:
        """Whether the setter took it, which is so only if it is read back."""
        if index not in self.failing | self.lost:
            self.hardware.set_limit(index, watts)
            self._foreign[index].know(watts)
            if self.hardware.requested_watts()[index] == watts:
                self._proofs[index].succeeded(now)
                return True
        self._proofs[index].failed()
        return False

    def _unreadable(self, now: float) -> set[int]:
        """GPUs that haven't answered for so long that anything may hold there."""
        self._read_s = [last if index in self.lost else now for index, last in enumerate(self._read_s)]
        late = {index for index, last in enumerate(self._read_s) if now - last > UNREADABLE_AFTER_S}
        if self.record.armed:
            for index in late:
                self._proofs[index].failed()
        return late

    def _enforced(self) -> list[float]:
        return self._read(self.hardware.enforced_watts(), self._last_enforced)

    def _requested(self) -> list[float]:
        return self._read(self.hardware.requested_watts(), self._last_requested)

    def _read(self, watts: list[float], last: list[float]) -> list[float]:
        """What is read of each GPU, and of a lost one what was read last."""
        last[:] = [last[index] if index in self.lost else one for index, one in enumerate(watts)]
        return list(last)
