"""
What a coordinator believes of each node, told or not told.

A node that speaks counts at what its sensors show. One that is silent counts at
the highest limit that it may still have in force: what it last read back, or more
if a lease that raised it is on its way; its nameplate if it was never heard, or not
for so long that it may have booted anew. It never counts at its safe limits and never
at an expired lease, since nobody has seen it step down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from loadline_policies.power.protocol.bounds import GPUS
from loadline_policies.power.protocol.gpu_limits import UNTOLD, RowOrders
from loadline_policies.power.protocol.messages import UNIDENTIFIED, Epoch, GpuLimit, GpuReport, Report
from loadline_policies.power.protocol.plausibility import BELIEVED_AFTER, ROUNDING_WATTS, Doubts
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, GpuRating, NodeRating

REBOOTED_AFTER_S = 30.0
"""A node may have booted anew after so long a silence, and its driver forgets every limit. Chosen."""


@dataclass(slots=True)
class Member:
    """One node of the domain.

    `slack_watts` is how far it may rise before it reports out of turn, `told` the orders
    that it is known or believed to have, `released_s` when it was told to release. `planned_watts`
    are the limits at which the plan counts it whatever it is told, None where it obeys. Until
    `awaited_until_s` it may only not have had the time to report. `ours` says that it has reported
    this coordinator's epoch: what it knows of the breaker's heat, it has from here. `seen_watts` is what
    its last report showed. `changes` grows with all that was heard or ordered by which it counts, or falls.
    """

    name: str
    rating: NodeRating | None = None
    report: Report | None = None
    heard_s: float = float("-inf")
    slack_watts: float = 0.0
    told: RowOrders = UNTOLD
    released_s: float | None = None
    planned_watts: Mapping[str, float] | None = None
    awaited_until_s: float = float("-inf")
    ours: bool = False
    seen_watts: float = 0.0
    changes: int = 0
    _counted: tuple[object, ...] = ()
    _raised: bool = False
    _ordered: dict[str, float] = field(default_factory=dict)
    _ordered_safe: dict[str, float] = field(default_factory=dict)
    _ordered_sequence: int = 0
    _worst_watts: dict[str, float] = field(default_factory=dict)
    _times_told: dict[str, int] = field(default_factory=dict)
    _missing: dict[str, GpuRating] = field(default_factory=dict)
    _doubts: Doubts = field(default_factory=Doubts)

    def stale(self, report: Report, *, now: float, silent_after_s: float) -> bool:
        """Whether a report was overtaken by a later one; after a silence any is news (the node restarted)."""
        overtaken = self.report is not None and report.sequence < self.report.sequence
        return overtaken and self.fresh(now, silent_after_s)

    def hear(self, report: Report, *, now: float, epoch: Epoch) -> float:
        """Take a report; once the node has the last order, what it tells replaces what was only ordered.

        Returns the watts by which GPUs may have drawn more lately than they were counted at.
        """
        report = self._doubts.believed(report)
        unseen_watts = self._unseen_rise_watts(report)
        counted = _counted_by(report)
        if counted != self._counted:
            self._counted, self.changes = counted, self.changes + 1
        if self.report is None and self.rating is not None:  # as the node's own NodeCapacity lists them
            self._times_told = {gpu.uuid: BELIEVED_AFTER for gpu in self.rating.gpus}
        self.report, self.heard_s = report, now
        self.rating = self._with_missing(self._with_worst(rating_of(report)))
        self.seen_watts = report.watts
        self.ours |= report.epoch == epoch
        if report.epoch == epoch and report.lease_sequence >= self._ordered_sequence:
            self._ordered.clear()
            self._ordered_safe.clear()
            self.changes += int(self._raised)
            self._raised = False
        else:
            self.told = UNTOLD
        return unseen_watts

    def _unseen_rise_watts(self, report: Report) -> float:
        """Of GPUs that can't be read any more, and so may hold more than was read last: that difference.

        One whose limit is read is seen by its sensor, whatever holds.
        """
        unable = [gpu for gpu in report.gpus if not gpu.able]
        if not unable or self.report is None:
            return 0.0
        before = {gpu.uuid: gpu for gpu in self.report.gpus if gpu.able}
        lost = [gpu for gpu in unable if gpu.uuid in before]
        return sum(max(0.0, gpu.enforced_watts - before[gpu.uuid].enforced_watts) for gpu in lost)

    def _with_missing(self, rating: NodeRating) -> NodeRating:
        """The rating with GPUs that were told before and aren't now: they may come back, at their maximum.

        A name that was told once or twice may be no GPU's: a member that tells of others each time would
        have the row make room for all of them. One that had no name of its own has got one by now.
        """
        told = {gpu.uuid for gpu in rating.gpus}
        for gpu in self.rating.gpus if self.rating is not None else ():
            named = not gpu.uuid.startswith(UNIDENTIFIED)
            if named and gpu.uuid not in told and self._times_told.get(gpu.uuid, 0) >= BELIEVED_AFTER:
                self._missing[gpu.uuid] = replace(gpu, fixed_watts=gpu.max_watts)
        room = max(0, GPUS[1] - len(told))
        missing = [gpu for uuid, gpu in self._missing.items() if uuid not in told][:room]
        self._missing = {gpu.uuid: gpu for gpu in missing}
        times = {uuid: self._times_told.get(uuid, 0) + 1 for uuid in told}
        self._times_told = dict.fromkeys(self._missing, BELIEVED_AFTER) | times
        return replace(rating, gpus=(*rating.gpus, *missing)) if missing else rating

    def _with_worst(self, rating: NodeRating) -> NodeRating:
        """The rating with each GPU that doesn't obey at the most that it has held since."""
        worst = self._worst_watts
        self._worst_watts = {
            gpu.uuid: max(gpu.fixed_watts, worst.get(gpu.uuid, 0.0))
            for gpu in rating.gpus
            if gpu.fixed_watts is not None
        }
        if not self._worst_watts:
            return rating
        fixed = self._worst_watts
        gpus = tuple([replace(gpu, fixed_watts=fixed.get(gpu.uuid)) for gpu in rating.gpus])
        return replace(rating, gpus=gpus)

    def order(self, limits: Iterable[GpuLimit], sequence: int) -> None:
        """Remember limits that are on their way, so that a node gone silent counts at the higher ones."""
        self._ordered_sequence = sequence
        told = {gpu.uuid: gpu for gpu in self.report.gpus} if self.report is not None else {}
        for limit in limits:
            if _raises(limit, told.get(limit.uuid)):
                self._raised, self.changes = True, self.changes + 1
            self._ordered[limit.uuid] = max(self._ordered.get(limit.uuid, 0.0), limit.watts)
            safe_watts = max(self._ordered_safe.get(limit.uuid, 0.0), limit.safe_watts)
            self._ordered_safe[limit.uuid] = safe_watts

    def release(self, sequence: int, now: float) -> None:
        """Remember that the node was told to restore what it found, which may be all that it can draw."""
        self.released_s, self._ordered_sequence = now, sequence
        self._raised, self.changes = True, self.changes + 1
        if self.rating is not None:
            self._ordered = {gpu.uuid: gpu.max_watts for gpu in self.rating.gpus}

    def fresh(self, now: float, silent_after_s: float) -> bool:
        """Whether the node has spoken lately."""
        return now - self.heard_s <= silent_after_s

    @property
    def armed(self) -> bool:
        """Whether the node's guard was armed for this domain when last heard.

        One that is armed for a domain that is gone isn't ours: it counts as one that joins, until it is.
        """
        return self.report is not None and self.report.armed and not self.report.orphaned

    @property
    def bound(self) -> bool:
        """Whether the node is armed, or an order is on its way that may arm it."""
        return self.armed or bool(self._ordered)

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs of the last report."""
        return tuple(gpu.uuid for gpu in self.report.gpus) if self.report is not None else ()

    @property
    def most_watts(self) -> float:
        """The most that the node may draw under the limits that it may have; nameplate if never heard."""
        if self.rating is None:
            return 0.0
        if self.report is None:
            return self.rating.nameplate_watts
        return self.rating.watts_at(
            {gpu.uuid: max(gpu.enforced_watts, self._ordered.get(gpu.uuid, 0.0)) for gpu in self.report.gpus}
        )

    def held_watts(self, now: float, silent_after_s: float) -> float:
        """As `watts`, with each GPU that can't be lowered at all that it holds, to which it may rise."""
        watts = self.watts(now, silent_after_s)
        if self.report is None or not self.fresh(now, silent_after_s):
            return watts
        unable = [gpu for gpu in self.report.gpus if not gpu.able]
        return watts + sum(max(0.0, self._holds_watts(gpu) - gpu.watts) for gpu in unable)

    def rising(self, now: float, settle_s: float) -> bool:
        """Whether the node was let go so lately that its meter can't show it yet."""
        return self.released_s is not None and now - self.released_s < settle_s

    def watts(self, now: float, silent_after_s: float) -> float:
        """What the node counts for in the row: its sensors, or the most it may draw when silent."""
        return self.seen_watts if self.fresh(now, silent_after_s) else self._unseen_watts(now)

    def hot_watts(self, now: float, silent_after_s: float) -> float:
        """As `watts`, with the sensor gain on: what the breaker may see."""
        return self.seen_hot_watts if self.fresh(now, silent_after_s) else self._unseen_watts(now)

    @property
    def seen_hot_watts(self) -> float:
        """What the last report showed, with the sensor gain on."""
        host_watts = self.report.host_watts if self.report is not None else 0.0
        return host_watts + SENSOR_GAIN * (self.seen_watts - host_watts)

    def _unseen_watts(self, now: float) -> float:
        """What a silent node may draw: under its limits, while nothing can have made it forget them."""
        if self.rating is not None and not self.fresh(now, REBOOTED_AFTER_S):
            return self.rating.nameplate_watts
        return self.most_watts

    def acknowledged(self, safe: Mapping[str, float]) -> bool:
        """Whether every GPU of the node falls to these safe limits or lower."""
        if self.report is None:
            return False
        falls = ((gpu.uuid, self.safe_watts(gpu)) for gpu in self.report.gpus)
        return all(
            watts is not None and watts <= safe.get(uuid, 0.0) + ROUNDING_WATTS for uuid, watts in falls
        )

    def safe_watts(self, gpu: GpuReport) -> float | None:
        """The highest safe limit that a GPU may have now: what it told, or what was ordered since."""
        if gpu.safe_watts is None:
            return None
        return max(gpu.safe_watts, self._ordered_safe.get(gpu.uuid, 0.0))

    def promised_watts(self) -> dict[str, float]:
        """What each GPU falls to by its node's record; what it holds where it can't be lowered."""
        gpus = self.report.gpus if self.report is not None else ()
        promised = ((gpu, self.safe_watts(gpu)) for gpu in gpus)
        return {
            gpu.uuid: watts if gpu.able and watts is not None else self._holds_watts(gpu)
            for gpu, watts in promised
        }

    def counted_rating(self, *, patient: bool) -> NodeRating:
        """The rating for a plan: a node that wasn't heard in time counts as if it couldn't be limited."""
        assert self.rating is not None
        if self.report is None and not patient:
            return replace(self.rating, settable=False)
        return self._planned(self.rating)

    def agreed_watts(self, safe: Mapping[str, float]) -> float:
        """What the node falls to by itself; its nameplate unless it has acknowledged these limits."""
        if self.rating is None:
            return 0.0
        return self.rating.watts_at(safe) if self.acknowledged(safe) else self.rating.nameplate_watts

    def falls_watts(self, now: float, silent_after_s: float) -> dict[str, float]:
        """What each GPU comes to with nobody's help: its safe limit if it was heard to have one and obeys."""
        if self.rating is None:
            return {}
        if self.report is None or not self.armed or not self.fresh(now, REBOOTED_AFTER_S):
            return {gpu.uuid: gpu.max_watts for gpu in self.rating.gpus}
        fresh = self.fresh(now, silent_after_s)
        return {gpu.uuid: self._falls_watts(gpu, fresh) for gpu in self.report.gpus}

    def _falls_watts(self, gpu: GpuReport, fresh: bool) -> float:
        holds_watts = self._holds_watts(gpu)
        safe_watts = self.safe_watts(gpu)
        if not fresh or not gpu.able or safe_watts is None:
            return holds_watts
        return min(holds_watts, safe_watts)

    def _holds_watts(self, gpu: GpuReport) -> float:
        """The most that a GPU may draw now: what it told, or what was ordered since."""
        return max(gpu.enforced_watts, self._ordered.get(gpu.uuid, 0.0))

    def _planned(self, rating: NodeRating) -> NodeRating:
        planned = self.planned_watts
        if planned is None:
            return rating
        gpus = [replace(gpu, fixed_watts=planned.get(gpu.uuid, gpu.max_watts)) for gpu in rating.gpus]
        return replace(rating, gpus=tuple(gpus))

    def reports_epoch(self, epoch: Epoch) -> bool:
        """Whether the node's last report carried this epoch."""
        return self.report is not None and self.report.epoch == epoch


def _counted_by(report: Report) -> tuple[object, ...]:
    """All of a report by which its node counts, or falls; what it draws changes with each."""
    gpus = [
        (gpu.uuid, gpu.enforced_watts, gpu.safe_watts, gpu.able, gpu.min_watts, gpu.max_watts)
        for gpu in report.gpus
    ]
    faulty = bool(report.faults)
    return report.armed, report.orphaned, report.settable, faulty, report.host_max_watts, gpus


def _raises(limit: GpuLimit, gpu: GpuReport | None) -> bool:
    """Whether a GPU may hold more by an order on its way, or fall to more, than it told."""
    if gpu is None or limit.watts > gpu.enforced_watts:
        return True
    return gpu.safe_watts is not None and limit.safe_watts > gpu.safe_watts


def _rating(gpu: GpuReport) -> GpuRating:
    """The range of a GPU; one whose writes fail counts at what it holds."""
    held_watts = max(gpu.min_watts, min(gpu.enforced_watts, gpu.max_watts))
    return GpuRating(gpu.uuid, gpu.min_watts, gpu.max_watts, None if gpu.able else held_watts)


def rating_of(report: Report) -> NodeRating:
    """What a node can draw and be lowered to, as its report says.

    One that isn't armed and shouldn't be, for a fault, is held by nobody: it counts as if it couldn't be set.
    """
    return NodeRating(
        node=report.node,
        host_max_watts=report.host_max_watts,
        gpus=tuple(_rating(gpu) for gpu in report.gpus),
        settable=report.settable and ((report.armed and not report.orphaned) or not report.faults),
    )
