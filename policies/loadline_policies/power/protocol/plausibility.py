"""
What of a report can be true, whoever sent it.

A member may be broken or hostile, and one row's sum is made of what all members say: a single
negative watt would hide another's draw. So every number has bounds from what hardware there is.
A report that contradicts itself isn't taken at all, and its node becomes silent, for which there
are rules. A GPU whose reading can't be true counts at its maximum, as one that doesn't obey, until
several of its readings were plausible again.
"""

from dataclasses import replace
from typing import Final

from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.bounds import (
    COUNTS,
    FAULTS,
    GPU_WATTS,
    GPUS,
    HOST_WATTS,
    NAMES,
    OWNERS,
    TRANSITIONS,
)
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report

ROUNDING_WATTS: Final = 0.5
"""Limits travel as watts and are kept as milliwatts: what differs by less is the same."""

BELIEVED_AFTER: Final = 3
"""How many readings in a row must be plausible after one that wasn't."""

OVERSHOOT: Final = 2.0
"""How far above its highest limit a board may be read for a moment. Chosen: transients of milliseconds."""


def check(report: Report) -> None:
    """InvalidInput where a report contradicts itself, or tells of hardware that there isn't."""
    _check(report.age_s >= 0, "ageSeconds", report.age_s, fix="ages are 0 or more")
    _check(
        0 <= report.host_max_watts <= HOST_WATTS[1],
        "hostMaxWatts",
        report.host_max_watts,
        fix=f"a host draws 0 to {HOST_WATTS[1]:g} W",
    )
    _check(len(report.gpus) <= GPUS[1], "gpus", len(report.gpus), fix=f"a node has at most {GPUS[1]}")
    _check_epoch(report.epoch)
    _check_counts(report)
    _check_names(report)
    uuids = {gpu.uuid for gpu in report.gpus}
    _check(len(uuids) == len(report.gpus), "gpus", len(report.gpus), fix="each has a UUID of its own")
    for gpu in report.gpus:
        _check(
            0 < gpu.min_watts <= gpu.max_watts <= GPU_WATTS[1],
            f"gpus[{gpu.uuid}]",
            f"{gpu.min_watts:g} to {gpu.max_watts:g} W",
            fix=f"a settable range lies within 0 to {GPU_WATTS[1]:g} W",
        )


class Doubts:
    """Of which GPUs of one node the last readings couldn't be true, and for how many more that counts."""

    def __init__(self) -> None:
        self._readings: dict[str, int] = {}
        self._limits: dict[str, int] = {}

    def believed(self, report: Report) -> Report:
        """The report with what can't be true, or lately couldn't, at the most that the hardware does."""
        host_watts = report.host_watts
        if not 0 <= host_watts <= report.host_max_watts:
            host_watts = report.host_max_watts
        gpus = tuple([self._believed(gpu) for gpu in report.gpus])
        if gpus == report.gpus and host_watts == report.host_watts:
            return report
        return replace(report, host_watts=host_watts, gpus=gpus)

    def _believed(self, gpu: GpuReport) -> GpuReport:
        most = gpu.max_watts
        limits = gpu.enforced_watts, gpu.min_watts if gpu.safe_watts is None else gpu.safe_watts
        if _doubted(self._readings, gpu.uuid, 0 <= gpu.watts <= OVERSHOOT * most):
            gpu = replace(gpu, watts=most)
        if _doubted(self._limits, gpu.uuid, all(0 < one <= most + ROUNDING_WATTS for one in limits)):
            gpu = replace(gpu, enforced_watts=most, safe_watts=gpu.min_watts, able=False)
        if gpu.in_force_watts is not None and not 0 < gpu.in_force_watts <= most + ROUNDING_WATTS:
            gpu = replace(gpu, in_force_watts=None)
        return gpu


def _doubted(doubts: dict[str, int], uuid: str, so: bool) -> bool:
    """Whether a value is doubted: it can't be true, or was not of the last few that could."""
    if not so:
        doubts[uuid] = BELIEVED_AFTER
        return True
    doubts[uuid] = max(0, doubts.get(uuid, 0) - 1)
    return doubts[uuid] > 0


def _check_counts(report: Report) -> None:
    for field, value in (
        ("sequence", report.sequence),
        ("leaseSequence", report.lease_sequence),
        ("planVersion", report.plan_version),
    ):
        _check(abs(value) <= COUNTS, field, value, fix=f"at most {COUNTS}, an int64")


def _check_names(report: Report) -> None:
    """What a row would keep of each member, for as long as it is one."""
    for field, names, most in (
        ("faults", report.faults, FAULTS),
        ("services", [one.service for one in report.services], OWNERS * GPUS[1]),
        *((f"gpus[{gpu.uuid}].owners", gpu.owners, OWNERS) for gpu in report.gpus),
    ):
        _check(len(names) <= most, field, len(names), fix=f"at most {most}")
        _check(
            all(len(name) <= NAMES for name in names), field, names, fix=f"{NAMES} characters each at most"
        )
    long = next((gpu.uuid for gpu in report.gpus if len(gpu.uuid) > NAMES), "")
    _check(not long, "gpus.uuid", long, fix=f"{NAMES} characters at most")
    for field, name in (("armedFor", report.armed_for), ("policyLevel", report.policy_level)):
        _check(len(name or "") <= NAMES, field, name, fix=f"{NAMES} characters at most")


def _check_epoch(epoch: Epoch | None) -> None:
    if epoch is not None:
        inside = 0 <= epoch.transitions <= TRANSITIONS
        _check(inside, "epoch.transitions", epoch.transitions, fix=f"0 to {TRANSITIONS}, an int32")
        uid = epoch.lease_uid
        _check(len(uid) <= NAMES, "epoch.leaseUid", uid, fix=f"{NAMES} characters at most")


def _check(so: bool, field: str, value: object, *, fix: str) -> None:
    if not so:
        raise InvalidInput(f"report.{field}", value, fix=fix)
