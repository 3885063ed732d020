"""
What the node says of itself: its report to the coordinator, and its gauges to people.

A GPU whose sensor can't be believed counts at the limit in force, which it can't
exceed by much, never at its last reading. The host's watts come from the domain's
host model: idle to maximum, as far as the GPUs are busy. Faults are words, by which a
coordinator knows that it shouldn't enforce here; what they stand for is in `node_gpus`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from loadline_agent.domain.peers import Home
from loadline_agent.domain.ports import Owners
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.sensors import GpuInfo, GpuSample
from loadline_agent.metrics import Reading
from loadline_api.conditions import Reason
from loadline_api.node_capacities import Gpu
from loadline_policies.errors import HardwareError
from loadline_policies.power.protocol.leases import Standing
from loadline_policies.power.protocol.members import ROUNDING_WATTS
from loadline_policies.power.protocol.messages import GpuReport, Report, ServiceReport
from loadline_policies.power.protocol.triggers import worth_telling

BROKEN_FOR_S: Final = 60.0
"""How long a failed promise keeps the node from being enforced. Chosen: hands mend disks."""


class NodeReporter:
    """Makes reports of the newest sample. `home`, `heat` and `unanswered` are set as they are learnt."""

    def __init__(
        self,
        node: str,
        node_gpus: NodeGpus,
        *,
        owners: Owners,
        clock: Callable[[], float],
        services: Callable[[], tuple[ServiceReport, ...]] = tuple,
    ) -> None:
        self.home = Home()
        self.heat: float | None = None
        self.unanswered: str | None = None
        self._node, self._node_gpus, self._owners, self._clock = node, node_gpus, owners, clock
        self._services = services
        self._samples: tuple[GpuSample, ...] = ()
        self._sampled_s = float("-inf")
        self._watts = self._reported_watts = 0.0
        self.slack_watts = float("inf")
        self._sequence = int(clock() * 1000)  # above a predecessor's: it counted from an earlier moment
        self._broken = (float("-inf"), "", "")

    @property
    def ready(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._samples)

    @property
    def watts(self) -> float:
        """Host and GPUs, as the next report would say."""
        return self._watts

    def settle(self, home: Home | None) -> None:
        """Take what is declared; a node that lost its domain keeps its host model until it is released."""
        if home is not None:
            known = home if home.domain is not None else replace(self.home, conflict=home.conflict)
            self.home = known

    def take(self, samples: tuple[GpuSample, ...], now: float) -> None:
        """Look at a new round of samples."""
        self._samples, self._sampled_s = samples, now
        gpu_watts = sum([self._gpu_watts(sample) for sample in samples])
        self._watts = gpu_watts + self._host_watts(gpu_watts)

    @property
    def news(self) -> bool:
        """Whether the draw has moved so far from what was last reported that it can't wait."""
        return worth_telling(self._watts, told_watts=self._reported_watts, slack_watts=self.slack_watts)

    def broken(self, error: Exception) -> None:
        """Remember that a promise couldn't be made: the record wasn't written, or a GPU not read."""
        word = Reason.GPU_LOST if isinstance(error, HardwareError) else Reason.STATE_LOST
        self._broken = (self._clock(), word.value, str(error))

    def report(self, domain: str, standing: Standing, *, now: float) -> Report:
        """The next report; its sequence is higher than any before."""
        self._sequence += 1
        self._reported_watts = self._watts
        gpus = tuple([self._gpu(s, i) for s, i in zip(self._samples, self._node_gpus.infos, strict=True)])
        lease = standing.holding.lease if standing.holding is not None and standing.live(now) else None
        return Report(
            node=self._node,
            domain=domain,
            sequence=self._sequence,
            age_s=round(max(0.0, now - self._sampled_s) + self._sample_age_s(), 3),
            host_watts=self._host_watts(sum([gpu.watts for gpu in gpus])),
            host_max_watts=self.home.host_max_watts,
            gpus=gpus,
            epoch=lease.epoch if lease is not None else None,
            lease_sequence=lease.sequence if lease is not None else 0,
            armed=standing.armed,
            plan_version=self._node_gpus.record.plan_version if standing.armed else 0,
            heat=self.heat,
            settable=self._node_gpus.settable,
            faults=self.faults(),
            services=self._services(),
        )

    def faults(self) -> tuple[str, ...]:
        """Why this node shouldn't be enforced, as words of the API's table of reasons."""
        return tuple(sorted(self._grave()))

    def problems(self) -> dict[str, str]:
        """All that is wrong here, in the words of the API's table of reasons, each with a sentence."""
        found = dict(self._grave())
        for sample in self._samples:
            if sample.fault is not None:
                word = Reason.SENSOR_STUCK if "sensor" in sample.fault else Reason.GPU_LOST
                found.setdefault(word.value, f"{sample.uuid}: {sample.fault}")
        if not self._node_gpus.settable:
            found[Reason.MISSING_PRIVILEGE.value] = Reason.MISSING_PRIVILEGE.sentence
        return found

    def gpu_facts(self) -> Iterator[Gpu]:
        """The GPUs as the node's NodeCapacity lists them."""
        for info in self._node_gpus.infos:
            held = self._node_gpus.held.get(info.uuid)
            yield Gpu(
                uuid=info.uuid,
                name=info.name,
                min_watts=round(info.min_watts),
                max_watts=round(info.max_watts),
                enforced_watts=round(held.enforced_watts) if held is not None else None,
                clock_cap_mhz=held.clock_mhz if held is not None else None,
            )

    def held_back(self) -> frozenset[str]:
        """GPUs whose limit or clock is below its maximum."""
        most = {info.uuid: info.max_watts for info in self._node_gpus.infos}
        return frozenset(
            uuid
            for uuid, held in self._node_gpus.held.items()
            if held.clock_mhz is not None or most[uuid] - held.enforced_watts >= ROUNDING_WATTS
        )

    def _grave(self) -> dict[str, str]:
        broken_s, word, sentence = self._broken
        found = {word: sentence} if self._clock() - broken_s < BROKEN_FOR_S else {}
        if self._node_gpus.in_conflict:
            found[Reason.OTHER_WRITER.value] = "; ".join(map(str, self._node_gpus.conflicts))
        if self.home.conflict is not None:
            found[Reason.NODE_CLAIMED_TWICE.value] = self.home.conflict
        return found

    def readings(self, standing: Standing) -> Iterator[Reading]:
        """The node's gauges."""
        safe = {gpu.uuid: gpu.safe_watts for gpu in self._node_gpus.record.gpus}
        for sample in self._samples:
            labels = (("gpu", sample.uuid),)
            held = self._node_gpus.held.get(sample.uuid)
            yield Reading("loadline_power_gpu_watts", "Draw of a GPU.", self._gpu_watts(sample), labels)
            yield Reading("loadline_power_gpu_ok", "1 if its sensor is believed.", float(sample.ok), labels)
            if held is not None:
                yield Reading(
                    "loadline_power_gpu_limit_watts",
                    "Limit in force, read back.",
                    held.enforced_watts,
                    labels,
                )
                yield Reading(
                    "loadline_power_gpu_clock_cap_mhz",
                    "Locked clock; 0 if none.",
                    held.clock_mhz or 0,
                    labels,
                )
            if sample.uuid in safe:
                yield Reading(
                    "loadline_power_gpu_safe_watts", "Where the GPU falls.", safe[sample.uuid], labels
                )
        yield Reading("loadline_power_node_watts", "Draw of the node, host model included.", self._watts)
        yield Reading("loadline_power_armed", "1 from the first Enforce lease to release.", standing.armed)
        left_s = (standing.deadline_s or 0.0) - self._clock() if standing.deadline_s is not None else 0.0
        yield Reading("loadline_power_lease_seconds", "Seconds that the lease has left.", max(0.0, left_s))
        yield from self._guard_readings()

    def _guard_readings(self) -> Iterator[Reading]:
        guard = self._node_gpus.guard
        age_s = self._clock() - guard.heartbeat_s if guard is not None else float("inf")
        acts = guard.interventions if guard is not None else 0
        yield Reading("loadline_power_guard_age_seconds", "Since the guard last looked.", age_s)
        yield Reading("loadline_power_guard_interventions", "Limits that the guard has lowered.", acts)

    def _gpu(self, sample: GpuSample, info: GpuInfo) -> GpuReport:
        held = self._node_gpus.held.get(sample.uuid)
        record = self._node_gpus.record
        safe = {gpu.uuid: gpu.safe_watts for gpu in record.gpus} if record.armed else {}
        return GpuReport(
            uuid=sample.uuid,
            watts=round(self._gpu_watts(sample), 1),
            enforced_watts=held.enforced_watts if held is not None else info.max_watts,
            min_watts=info.min_watts,
            max_watts=info.max_watts,
            safe_watts=safe.get(sample.uuid),
            clock_mhz=held.clock_mhz if held is not None else None,
            owners=self._owners.owners(sample.uuid),
        )

    def _gpu_watts(self, sample: GpuSample) -> float:
        if sample.ok:
            return sample.watts
        held = self._node_gpus.held.get(sample.uuid)
        most = {info.uuid: info.max_watts for info in self._node_gpus.infos}
        return held.enforced_watts if held is not None else most[sample.uuid]

    def _sample_age_s(self) -> float:
        return max((sample.age_s for sample in self._samples if sample.ok), default=0.0)

    def _host_watts(self, gpu_watts: float) -> float:
        idle, most = self.home.host_idle_watts, self.home.host_max_watts
        busy = min(1.0, gpu_watts / sum([info.max_watts for info in self._node_gpus.infos]))
        return round(idle + (most - idle) * busy, 1)
