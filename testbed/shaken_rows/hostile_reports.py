"""
What one broken or hostile member may say of itself: nonsense that a row must survive.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from loadline_policies.power.protocol.messages import Epoch, Report


def twisted(report: Report, how: int) -> Report:
    """One of the things that one member may say of itself."""

    def gpus(**changes: Any) -> Report:
        return replace(report, gpus=tuple([replace(gpu, **changes) for gpu in report.gpus]))

    uid = report.epoch.lease_uid if report.epoch is not None else "lease-row"
    said: tuple[Callable[[], Report], ...] = (
        lambda: gpus(watts=-2000.0),
        lambda: gpus(watts=1e200),
        lambda: replace(report, host_watts=-4000.0),
        lambda: replace(report, host_max_watts=-1e5),
        lambda: gpus(min_watts=-1e5, max_watts=-1e5),
        lambda: gpus(max_watts=1e300),
        lambda: gpus(enforced_watts=-1e5),
        lambda: gpus(safe_watts=-1e5),
        lambda: replace(report, heat=1e300, epoch=None),
        lambda: replace(report, heat=-1000.0, epoch=None),
        lambda: replace(report, heat_age_s=-1e9, epoch=None),
        lambda: replace(report, epoch=Epoch(2**62, uid)),
        lambda: replace(report, age_s=-1e9),
        lambda: replace(report, gpus=()),
    )
    return said[how % len(said)]()


HOSTILE_WAYS = 14
