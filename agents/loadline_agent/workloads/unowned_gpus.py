"""
GPUs in use by nobody that is known: by what they draw, beside what pods are known to have.

A GPU that no pod has is idle, or used by something that the kubelet doesn't tell of: a container started by
hand, a pod whose devices another scheduler chose. Nobody's GPU is slowed first, and for what isn't known
that would be a guess at somebody's expense. So one that draws counts at the highest priority, and its node
says so.

A GPU draws if its sensor says more than its lowest limit, since below that no limit slows it, or if its
sensor isn't believed. It must have drawn for some seconds, since a pod that has just ended leaves warm GPUs,
and then counts for a minute after: work pauses, and a class must not flap.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from loadline_policies.power.protocol.node_states import GpuState

SETTLE_S = 10.0
"""How long a GPU draws before it counts as in use. Chosen: sensors average, and a pod's end takes some."""

HOLD_S = 60.0
"""How long one that drew counts as in use. Chosen: a pause between requests is no end."""


class _Drawn(NamedTuple):
    since_s: float
    last_s: float


class UnownedGpus:
    """Which of a node's GPUs draw that no known pod has; `uuids` are those that count as in use, sorted."""

    def __init__(self) -> None:
        self.uuids: tuple[str, ...] = ()
        self._drawn: dict[str, _Drawn] = {}

    def see(self, gpus: Iterable[GpuState], *, explained: Callable[[str], bool], now: float) -> None:
        """A look at the GPUs; `explained` says whether a pod has one, or may have it."""
        nobodys = [gpu for gpu in gpus if not explained(gpu.uuid)]
        self._drawn = {gpu.uuid: drawn for gpu in nobodys if (drawn := self._seen(gpu, now=now)) is not None}
        self.uuids = tuple(
            sorted(uuid for uuid, drawn in self._drawn.items() if drawn.last_s - drawn.since_s >= SETTLE_S)
        )

    def _seen(self, gpu: GpuState, *, now: float) -> _Drawn | None:
        before = self._drawn.get(gpu.uuid)
        if before is not None and now - before.last_s >= HOLD_S:
            before = None
        if gpu.ok and gpu.watts <= gpu.min_watts:
            return before
        return _Drawn(before.since_s if before is not None else now, now)
