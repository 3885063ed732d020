"""
Who may ask to be lifted from a cap, made from what the nodes report.

A claim is one service's GPUs on one node: a replica is as slow as its slowest GPU, so
single GPUs are not worth letting go, and a whole service is often more than there is
room for. Only high priority claims, and only on nodes that obey this coordinator.

A node that knows how the service does there is believed; one that doesn't, such as
the second half of a replica, goes by the worst that is known of the service.
"""

from collections.abc import Iterable

from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import allowed_watts
from loadline_policies.power.protocol.messages import GpuReport, Report
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS
from loadline_policies.power.protocol.rosters import Roster
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.rows import Cap
from loadline_policies.power.safety.safe_states import SENSOR_GAIN


def claims_of(members: Roster, domain: Domain, cap: Cap, *, now: float) -> tuple[Claim, ...]:
    """The claims on a row whose high class is held by `cap`, by service and node."""
    reports = [member.report for member in members.values() if member.fresh(now, members.silent_after_s)]
    heard = [report for report in reports if report is not None]
    worst = _worst_of(heard, domain)
    obeying = (one for one in heard if one.armed and not one.faults and one.node in domain.members)
    made = (
        (claim for one in obeying for claim in _claims_on(one, worst, domain=domain, cap=cap))
        if worst
        else ()
    )
    return tuple(sorted(made, key=lambda claim: claim.key))


def _worst_of(reports: Iterable[Report], domain: Domain) -> dict[str, float | None]:
    """The worst known of each high-priority service; None where nobody knows."""
    worst: dict[str, float | None] = {}
    for report in reports:
        for name, missed in _missed_on(report).items():
            if domain.is_high(name):
                worst[name] = _worse(worst.get(name), missed)
    return worst


def _missed_on(report: Report) -> dict[str, float | None]:
    missed: dict[str, float | None] = {}
    for one in report.services:
        missed[one.service] = _worse(missed.get(one.service), one.missed)
    return missed


def _worse(one: float | None, other: float | None) -> float | None:
    return max((missed for missed in (one, other) if missed is not None), default=None)


def _claims_on(
    report: Report, worst: dict[str, float | None], *, domain: Domain, cap: Cap
) -> Iterable[Claim]:
    mine = _missed_on(report)
    owned: dict[str, list[GpuReport]] = {}
    for gpu in report.gpus:
        for owner in gpu.owners:
            if owner in worst:
                owned.setdefault(owner, []).append(gpu)
    for service, gpus in owned.items():
        known = mine.get(service)
        yield Claim(
            service=service,
            node=report.node,
            priority=domain.terms_of(service).priority,
            missed=known if known is not None else worst[service],
            gpus=tuple(gpu.uuid for gpu in gpus),
            capped=any(_capped(gpu, cap, domain) for gpu in gpus),
            rise_watts=sum(_rise_watts(gpu, domain) for gpu in gpus),
        )


def _capped(gpu: GpuReport, cap: Cap, domain: Domain) -> bool:
    """Whether the cap is in force on the GPU and holds it below what it may have without."""
    if cap.clock_mhz is not None and gpu.clock_mhz is not None:
        return True  # whatever its value: a node makes a clock that its GPU has of the one that it is told
    if cap.watts is None or cap.watts >= allowed_watts(gpu, domain):
        return False
    return gpu.enforced_watts <= max(cap.watts, gpu.min_watts) + ROUNDING_WATTS


def _rise_watts(gpu: GpuReport, domain: Domain) -> float:
    most = max(gpu.enforced_watts, allowed_watts(gpu, domain))
    return max(0.0, SENSOR_GAIN * most - gpu.watts)
