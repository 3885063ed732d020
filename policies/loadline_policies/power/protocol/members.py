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

from loadline_policies.power.protocol.gpu_limits import UNTOLD, RowOrders
from loadline_policies.power.protocol.messages import Epoch, GpuLimit, GpuReport, Report
from loadline_policies.power.safety.safe_states import SENSOR_GAIN, GpuRating, NodeRating

REBOOTED_AFTER_S = 30.0
"""A node may have booted anew after so long a silence, and its driver forgets every limit. Chosen."""

ROUNDING_WATTS = 0.5
"""Limits travel as watts and are kept as milliwatts: what differs by less is the same."""


@dataclass(slots=True)
class Member:
    """One node of the domain.

    `slack_watts` is how far it may rise before it reports out of turn, `told` the orders
    that it is known or believed to have, `released_s` when it was told to release.
    """

    name: str
    rating: NodeRating | None = None
    report: Report | None = None
    heard_s: float = float("-inf")
    slack_watts: float = 0.0
    told: RowOrders = UNTOLD
    released_s: float | None = None
    _seen_watts: float = 0.0
    _ordered: dict[str, float] = field(default_factory=dict)
    _ordered_sequence: int = 0

    def stale(self, report: Report, *, now: float, silent_after_s: float) -> bool:
        """Whether a report was overtaken by a later one; after a silence any is news (the node restarted)."""
        overtaken = self.report is not None and report.sequence < self.report.sequence
        return overtaken and self.fresh(now, silent_after_s)

    def hear(self, report: Report, *, now: float, epoch: Epoch) -> None:
        """Take a report; once the node has the last order, what it tells replaces what was only ordered."""
        self.report, self.heard_s = report, now
        self.rating = rating_of(report)
        self._seen_watts = report.watts
        if report.epoch == epoch and report.lease_sequence >= self._ordered_sequence:
            self._ordered.clear()
        else:
            self.told = UNTOLD

    def order(self, limits: Iterable[GpuLimit], sequence: int) -> None:
        """Remember limits that are on their way, so that a node gone silent counts at the higher ones."""
        self._ordered_sequence = sequence
        for limit in limits:
            self._ordered[limit.uuid] = max(self._ordered.get(limit.uuid, 0.0), limit.watts)

    def release(self, sequence: int, now: float) -> None:
        """Remember that the node was told to restore what it found, which may be all that it can draw."""
        self.released_s, self._ordered_sequence = now, sequence
        if self.rating is not None:
            self._ordered = {gpu.uuid: gpu.max_watts for gpu in self.rating.gpus}

    def fresh(self, now: float, silent_after_s: float) -> bool:
        """Whether the node has spoken lately."""
        return now - self.heard_s <= silent_after_s

    @property
    def armed(self) -> bool:
        """Whether the node's guard was armed when last heard."""
        return self.report is not None and self.report.armed

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

    @property
    def rise_watts(self) -> float:
        """How much more the node could draw than it was seen to, if nothing limited it."""
        return self.rating.nameplate_watts - self._seen_watts if self.rating is not None else 0.0

    def rising(self, now: float, settle_s: float) -> bool:
        """Whether the node was let go so lately that its meter can't show it yet."""
        return self.released_s is not None and now - self.released_s < settle_s

    def watts(self, now: float, silent_after_s: float) -> float:
        """What the node counts for in the row: its sensors, or the most it may draw when silent."""
        return self._seen_watts if self.fresh(now, silent_after_s) else self._unseen_watts(now)

    def hot_watts(self, now: float, silent_after_s: float) -> float:
        """As `watts`, with the sensor gain on: what the breaker may see."""
        if self.report is None or not self.fresh(now, silent_after_s):
            return self._unseen_watts(now)
        host_watts = self.report.host_watts
        return host_watts + SENSOR_GAIN * (self._seen_watts - host_watts)

    def _unseen_watts(self, now: float) -> float:
        """What a silent node may draw: under its limits, while nothing can have made it forget them."""
        if self.rating is not None and not self.fresh(now, REBOOTED_AFTER_S):
            return self.rating.nameplate_watts
        return self.most_watts

    def acknowledged(self, safe: Mapping[str, float]) -> bool:
        """Whether every GPU of the node falls to these safe limits or lower."""
        return self.report is not None and all(
            gpu.safe_watts is not None and gpu.safe_watts <= safe.get(gpu.uuid, 0.0) + ROUNDING_WATTS
            for gpu in self.report.gpus
        )

    def counted_rating(self, *, patient: bool) -> NodeRating:
        """The rating for a plan: a node that wasn't heard in time counts as if it couldn't be limited."""
        assert self.rating is not None
        heard = self.report is not None or patient
        return self.rating if heard else replace(self.rating, settable=False)

    def agreed_watts(self, safe: Mapping[str, float]) -> float:
        """What the node falls to by itself; its nameplate unless it has acknowledged these limits."""
        if self.rating is None:
            return 0.0
        return self.rating.watts_at(safe) if self.acknowledged(safe) else self.rating.nameplate_watts

    def reports_epoch(self, epoch: Epoch) -> bool:
        """Whether the node's last report carried this epoch."""
        return self.report is not None and self.report.epoch == epoch


def _rating(gpu: GpuReport) -> GpuRating:
    """The range of a GPU; one whose writes fail can be had no lower than it is."""
    least = gpu.min_watts if gpu.able else max(gpu.min_watts, min(gpu.enforced_watts, gpu.max_watts))
    return GpuRating(gpu.uuid, least, gpu.max_watts)


def rating_of(report: Report) -> NodeRating:
    """What a node can draw and be lowered to, as its report says.

    One that isn't armed and shouldn't be, for a fault, is held by nobody: it counts as if it couldn't be set.
    """
    return NodeRating(
        node=report.node,
        host_max_watts=report.host_max_watts,
        gpus=tuple(_rating(gpu) for gpu in report.gpus),
        settable=report.settable and (report.armed or not report.faults),
    )
