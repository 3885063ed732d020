"""
Everything that the leaf lets one thread do with GPUs, limits and the record.

Its calls block, for seconds if a GPU is sick, so `leaf` never makes them on the
event loop, and never two at once. The order in them is what keeps the node safe: a
promise is in the record, where the guard reads it, before the hardware may rise;
the record is disarmed only after what was found is back, or was tried three times. What the GPUs hold is
believed as read back and no other way.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GpuRecord
from loadline_agent.hardware.driver_watches import DriverChange, DriverWatch
from loadline_agent.hardware.gpu_sentences import by_gpu
from loadline_agent.hardware.left_gpus import as_left, left_gpu, left_sentence, not_back
from loadline_agent.hardware.limits import SETTLE_S, HeldLimit, Limits, Order, OriginalLimit, Outcome
from loadline_agent.hardware.nvml import OtherVersion
from loadline_agent.hardware.opened_gpus import GpuInfo
from loadline_agent.hardware.orders import in_force, order_of, same
from loadline_agent.hardware.other_writers import Conflict, OtherWriters
from loadline_agent.hardware.read_backs import ReadBacks
from loadline_agent.hardware.sensors import GpuSample, GpuSensors, missing_right
from loadline_agent.hardware.unset_gpus import rangeless_state, unopened_states
from loadline_api.reasons import Reason
from loadline_policies.errors import GpuLost, HardwareError, NoPermission
from loadline_policies.power.protocol.messages import GpuLimit
from loadline_policies.power.protocol.node_states import GpuState, NodeState
from loadline_policies.power.protocol.release_tries import ReleaseTries

LOOK_IDLE_EVERY_S: Final = 10.0
"""How often limits are read back where nothing is enforced. Chosen: slow facts for status."""

LOOK_ARMED_EVERY_S: Final = 1.0
"""How often at least they are read back on an armed node, also while no lease comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a job: how many setters wrote, and the errors by GPU. `late` is past the deadline.

    `unsure` are the GPUs that failed, or were written and not read since. `repeats` is how many tries before
    this one were told of by nobody.
    """

    writes: int = 0
    late: bool = False
    errors: tuple[HardwareError, ...] = ()
    unsure: frozenset[str] = frozenset()
    repeats: int = 0

    @classmethod
    def of(cls, outcomes: tuple[Outcome, ...]) -> "Done":
        """The sum of the outcomes of all GPUs."""
        return cls(
            writes=sum(outcome.written for outcome in outcomes),
            late=any(outcome.late for outcome in outcomes),
            errors=tuple(outcome.error for outcome in outcomes if outcome.error is not None),
            unsure=frozenset(one.uuid for one in outcomes if one.written or one.error is not None),
        )


class NodeGpus:
    """The node's GPUs, their limits, and the record that the guard acts by.

    `record` is the one on file; `settable` turns False once no GPU lets this process set it.
    """

    def __init__(
        self,
        gpus: GpuSensors,
        state: ArmedRecordFile,
        *,
        boot: str,
        clock: Callable[[], float],
        settable: bool = True,
    ) -> None:
        self.record: ArmedRecord = state.read()
        self.settable = settable
        self._interventions = 0
        found = {
            gpu.uuid: OriginalLimit(watts=gpu.found_watts, clock_mhz=gpu.found_mhz)
            for gpu in self.record.gpus
            if gpu.found_watts is not None
        }
        self._gpus, self._state, self._boot, self._clock = gpus, state, boot, clock
        self._limits = Limits(gpus, clock=clock, found=found)
        self._orders: tuple[Order, ...] = ()
        self._inherited = self.record.armed
        self._applied_s = self._sampled_s = float("-inf")
        self._samples: tuple[GpuSample, ...] = ()
        self._read_backs, self._writers = ReadBacks(), OtherWriters()
        self._tries = ReleaseTries[str]()
        self._driver = DriverWatch(gpus, clock)
        self._know()
        self.look()

    @classmethod
    def open(cls, state_dir: Path, clock: Callable[[], float]) -> "NodeGpus":
        """Load NVML, and take up the record in `state_dir`; HardwareError where there is no driver."""
        boot = armed_records.boot_id()
        state = ArmedRecordFile(str(state_dir), boot)
        return cls(GpuSensors.open(), state, boot=boot, clock=clock, settable=missing_right() is None)

    def close(self) -> None:
        """Let NVML go; limits and record stay as they are."""
        self._gpus.close()

    @property
    def infos(self) -> tuple[GpuInfo, ...]:
        """The GPUs and their settable ranges."""
        return self._gpus.infos

    @property
    def held(self) -> Mapping[str, HeldLimit]:
        """What was last read back, by UUID."""
        return self._read_backs.held

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The conflicts seen last."""
        return self._writers.conflicts

    @property
    def xids(self) -> Mapping[str, int]:
        """The last XID that each GPU told, of those that told one."""
        return self._gpus.xids

    def sample(self) -> None:
        """One round of all sensors; where nobody else does, limits are read back now and then too."""
        now = self._clock()
        every_s = LOOK_ARMED_EVERY_S if self.record.armed else LOOK_IDLE_EVERY_S
        if now - self._read_backs.looked_s >= every_s:
            self.look()
        self._samples, self._sampled_s = self._gpus.sample(now), now

    def fix(self) -> Done | None:
        """Take in GPUs that answer by now. Where none does any more, load NVML anew, and step down.

        None where nothing was done about limits. A driver that was loaded anew has forgotten them; the
        next lease gives back what is more than safe. Raises OtherVersion where only a new process can
        load the library of the driver that is there by now.
        """
        try:
            change = self._driver.look()
        except OtherVersion:
            self._forget_driver()
            raise
        if change is DriverChange.MORE_GPUS:
            self._take_in()
        elif change is not DriverChange.NONE:
            self._forget_driver()
        loaded = change is DriverChange.LOADED
        return self.step_down() if loaded and self.record.armed and self.infos else None

    def _know(self) -> None:
        """Follow each GPU that is open."""
        uuids = [info.uuid for info in self.infos]
        self._read_backs.take_in(uuids)
        self._writers.take_in(uuids)

    def _take_in(self) -> None:
        """Know each GPU that is open; what was sampled is of others."""
        self._know()
        self._samples = ()
        self.look()

    def _forget_driver(self) -> None:
        """Believe nothing any more of what an earlier driver said, or proved: it may be another one."""
        self._read_backs.forget()
        self._writers.forget()
        self._limits.forget_locks()
        self._orders, self._inherited = (), self.record.armed
        self._take_in()

    def state(self) -> NodeState:
        """What the newest sample, the newest look and the record say, frozen."""
        safe = {gpu.uuid: gpu.safe_watts for gpu in self.record.gpus} if self.record.armed else {}
        samples = self._samples or tuple(map(_unsampled, self.infos))
        rows = zip(samples, self.infos, strict=True)
        unopened = unopened_states(self._gpus, safe=safe, armed=self.record.armed)
        return NodeState(
            gpus=tuple([self._gpu_state(sample, info, safe) for sample, info in rows]) + unopened,
            sampled_s=self._sampled_s,
            read_s=self._read_backs.looked_s,
            armed=self.record.armed,
            deadline_s=self.record.deadline_s,
            plan_version=self.record.plan_version,
            domain=self.record.domain,
            settled=self.settled,
            settable=self.settable,
            faults=self._faults(),
        )

    def _faults(self) -> dict[str, str]:
        if not self.in_conflict:
            return {}
        return {Reason.OTHER_WRITER.value: by_gpu((one.uuid, one.sentence) for one in self.conflicts)}

    def _gpu_state(self, sample: GpuSample, info: GpuInfo, safe: Mapping[str, float]) -> GpuState:
        if not info.has_range:
            return rangeless_state(sample, info, safe=safe, armed=self.record.armed)
        held, now = self._read_backs.known(info.uuid), self._read_backs.looked_s
        requested_watts = held.requested_watts if held is not None else None
        if requested_watts is not None:
            requested_watts = max(requested_watts, self._writers.highest_watts(info.uuid, now))
        return GpuState(
            uuid=info.uuid,
            sensor_watts=sample.watts,
            min_watts=info.min_watts,
            max_watts=info.max_watts,
            ok=sample.ok,
            fault=sample.fault,
            age_s=sample.age_s,
            enforced_watts=held.enforced_watts if held is not None else None,
            requested_watts=requested_watts,
            safe_watts=safe.get(info.uuid),
            clock_mhz=held.clock_mhz if held is not None else None,
            able=self._read_backs.able(info.uuid) and not self._writers.often(info.uuid, now),
            proven=self._read_backs.proven(info.uuid),
            found_watts=self._found_watts(info.uuid, held),
            default_watts=info.default_watts,
        )

    def _found_watts(self, uuid: str, held: HeldLimit | None) -> float | None:
        """What holds without us: as it was before our first write, or as it is where there was none."""
        found = self._limits.found.get(uuid)
        if found is not None:
            return found.watts
        return held.requested_watts if held is not None and not self.record.armed else None

    def enforce(
        self, limits: tuple[GpuLimit, ...], plan_version: int, *, deadline_s: float, domain: str = ""
    ) -> Done:
        """Promise and then apply the limits of a domain's lease, on all GPUs that can be set.

        One on which what is to be found again can't be read isn't written, and has failed.
        Raises OSError when the record can't be written; nothing is applied then.
        """
        failed = self._limits.remember()
        infos = {info.uuid: info for info in self.infos if info.has_range and info.uuid in self._limits.found}
        limits = tuple([limit for limit in limits if limit.uuid in infos])
        self._promise(limits, plan_version, deadline_s=deadline_s, domain=domain)
        self.look()
        orders = tuple([order_of(limit, infos[limit.uuid]) for limit in limits])
        if orders == self._orders and not failed and not self._writers.disturbed and not self._inherited:
            return Done()
        done = Done.of(self._proven(self._apply(orders, deadline_s) + failed))
        self._orders = () if done.errors or done.late else orders
        self._applied_s = self._clock()
        if self._is_forbidden(done, infos):
            self.settable = False
            self._disarm_if_untouched()
        return done

    def _is_forbidden(self, done: Done, uuids: Iterable[str]) -> bool:
        """Whether this process lacks the right to set limits; a GPU that refuses beside others only fails."""
        refused = any(isinstance(error, NoPermission) for error in done.errors)
        return refused and not done.writes and not any(map(self._read_backs.able, uuids))

    def step_down(self, uuids: Collection[str] | None = None) -> Done:
        """Every GPU to min(current, safe), or only these; the record stays armed. Never raises a limit.

        Of a try again by which nothing was written, nothing is read back before its time.
        """
        self._orders = ()
        gpus = [gpu for gpu in self.record.gpus if uuids is None or gpu.uuid in uuids]
        done = Done.of(self._proven(self._limits.step_down({gpu.uuid: gpu.safe_watts for gpu in gpus})))
        if uuids is None or done.writes:
            self.look()
        return done

    def restore(self, deadline_s: float) -> Done:
        """Give back what was found, then disarm; stays armed while a GPU that is there hasn't got it back.

        No release waits for a GPU that can't be set: after three tries it is left behind, which the record
        says. Where the deadline passes meanwhile, as when this process is stopped, all fall to safe again.
        Raises OSError when the record can't be written.
        """
        self._write(self.record._replace(deadline_s=deadline_s))
        self._orders = ()
        self._read_backs.await_none()
        outcomes = self._limits.restore(deadline_s)
        done = Done.of(outcomes)
        left = tuple(error for error in done.errors if not isinstance(error, GpuLost))
        if done.late:
            self.step_down()
            return replace(done, errors=left)
        self.look()
        self._tries.count(not_back(outcomes, self.held, self._limits.found))
        if self._tries.over:
            self._disarm(self._tries.left)
        return replace(done, errors=left)

    @property
    def left(self) -> tuple[str, ...]:
        """A sentence for each GPU that was left behind; none while the node is armed."""
        gpus = () if self.record.armed else self.record.gpus
        return tuple([left_sentence(gpu, self.held.get(gpu.uuid)) for gpu in gpus])

    def _disarm(self, left: Collection[str]) -> None:
        """Promise nothing any more; what was found on GPUs that are left behind stays on record."""
        found = self._limits.found
        gpus = tuple([left_gpu(uuid, self.held.get(uuid), found[uuid]) for uuid in left])
        self._write(ArmedRecord(self._boot, gpus=gpus))
        self._limits.forget(found.keys() - left)
        self._inherited, self._tries = False, ReleaseTries()
        self._writers.begin(info.uuid for info in self.infos)

    def _watch_left(self) -> None:
        """See whether somebody has set a GPU that was left behind."""
        kept = tuple([gpu for gpu in self.record.gpus if as_left(gpu, self.held.get(gpu.uuid))])
        if kept == self.record.gpus:
            return
        self._limits.forget([gpu.uuid for gpu in self.record.gpus if gpu not in kept])
        self.record = self.record._replace(gpus=kept)
        with suppress(OSError):  # else a successor sees it once more
            self._state.write(self.record)

    def look(self) -> None:
        """Read back what holds, and tell others' limits from our own and the guard's."""
        now = self._clock()
        self._read_backs.looked(self._limits.read_back(), now)
        if not self.record.armed:
            self._writers.suspect_none()
            self._watch_left()
            return
        guard_acted = self._guard_has_acted()
        if guard_acted:
            self._orders = ()
            self._read_backs.await_none()
            self._writers.suspect_none()
        for uuid in self._read_backs.check(now):
            self._tries.forgive(uuid)
        just_read = self._read_backs.just_read
        self._writers.watch(self.record.gpus, just_read, guard_acted=guard_acted, now=now)
        settled = now - self._applied_s >= SETTLE_S
        self._writers.compare(self._orders if settled else (), just_read, now)

    def _proven(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """The same, with each failure held against its GPU, and each write to be read back."""
        self._read_backs.wrote(outcomes, self._clock())
        for outcome in outcomes:
            if outcome.limit_watts is not None:
                self._writers.know(outcome.uuid, outcome.limit_watts)
        return outcomes

    @property
    def settled(self) -> bool:
        """Whether every limit that was ordered is requested, and nothing above it is in force."""
        return all(in_force(order, self.held.get(order.uuid)) for order in self._orders)

    @property
    def in_conflict(self) -> bool:
        """Whether another program has written limits here lately."""
        return self._writers.in_conflict(self._clock())

    def _promise(
        self, limits: tuple[GpuLimit, ...], plan_version: int, *, deadline_s: float, domain: str
    ) -> None:
        found = self._limits.found
        gpus = tuple(
            GpuRecord(one.uuid, one.safe_watts, found[one.uuid].watts, found[one.uuid].clock_mhz)
            for one in limits
        )
        gpus = (*gpus, *self._absent(one.uuid for one in limits))[: armed_records.MAX_GPUS]
        self._write(ArmedRecord(self._boot, True, deadline_s, plan_version, gpus, domain=domain))

    def _absent(self, present: Iterable[str]) -> tuple[GpuRecord, ...]:
        """What the record says of GPUs that don't answer now: they may come back, and want it then."""
        here = frozenset(present)
        return tuple([gpu for gpu in self.record.gpus if self.record.armed and gpu.uuid not in here])

    def _disarm_if_untouched(self) -> None:
        """A node on which nothing could be set has nothing to release."""
        found = self._limits.found
        if all(same(one.requested_watts, found[uuid].watts) for uuid, one in self.held.items()):
            self._write(ArmedRecord(self._boot))

    def _write(self, record: ArmedRecord) -> None:
        self._state.write(record)
        self.record = record

    def _apply(self, orders: tuple[Order, ...], deadline_s: float) -> tuple[Outcome, ...]:
        if self._inherited:
            # A predecessor's locked clock can't be read: lock all, so that letting go is a write.
            tops = {info.uuid: info.max_mhz for info in self.infos}
            locked = tuple(replace(one, clock_mhz=one.clock_mhz or tops[one.uuid] or None) for one in orders)
            self._limits.apply(locked, deadline_s)
            self._inherited = False
        return self._limits.apply(orders, deadline_s)

    def _guard_has_acted(self) -> bool:
        before, report = self._interventions, self.guard_report()
        self._interventions = report.interventions if report is not None else 0
        return self._interventions != before

    def guard_report(self) -> armed_records.GuardReport | None:
        """What the guard said last, as it stands in the file; None where it hasn't, or can't be read.

        For any thread, and also while a driver hangs.
        """
        try:
            return self._state.read_report()
        except armed_records.Unreadable:
            return None


def _unsampled(info: GpuInfo) -> GpuSample:
    return GpuSample(uuid=info.uuid, watts=0.0, age_s=0.0, ok=False, fault=None)
