"""
The loop over the KV memory of one node's engines: what each gets for its settings, and what it last reported.

An engine that doesn't report gets no settings, and falls back to vLLM's admission by its lease. Counts decide
nothing here: a report whose counts can't be read is answered as any other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from loadline_agent.kv import admission_settings
from loadline_agent.metrics import Metrics
from loadline_api.conditions import Reason
from loadline_api.kv_cache import Admission, AdmissionMode
from loadline_api.kv_counts import AdmissionCounts, decode
from loadline_api.worker_messages import SettingsSection, WorkerReport
from loadline_policies.documents import ServiceDocument
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop

FORGOTTEN_S: Final = 600.0
"""When an engine that doesn't report any more is forgotten. Chosen."""

MOST_ENGINES: Final = 512
"""Engines remembered: more than a node's pods. Chosen."""

log = structlog.get_logger("loadline.agent")

AdmissionOf = Callable[[str, str], Admission | None]
"""What the service of a pod asks for, by the pod's namespace and name; None if it is of no known service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvEngine:
    """What an engine reported last.

    `counts` is None where the engine admits as vLLM does, or where `fault` says why they can't be read.
    """

    service: str
    reported_s: float
    counts: AdmissionCounts | None
    reason: Reason
    fault: str = ""


class KvLoop:
    """The engines of one node, by the uids of their pods."""

    def __init__(self, admission_of: AdmissionOf, *, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._admission_of, self._metrics, self._clock = admission_of, metrics, clock
        self._engines: dict[str, KvEngine] = {}

    def section(self, report: WorkerReport, document: ServiceDocument) -> SettingsSection:
        """What a worker gets for its KV memory, by the spec and the document in force."""
        admission = self._admission_of(report.pod.namespace, report.pod.name) or Admission()
        self._take(report, admission, document)
        return SettingsSection(
            policy=document.policy.name,
            policy_hash=document.hash,
            settings=admission_settings.settings(admission, document),
        )

    def engines(self, *, within_s: float) -> Iterator[KvEngine]:
        """Those that have reported lately."""
        now = self._clock()
        yield from (one for one in self._engines.values() if now - one.reported_s <= within_s)

    def _take(self, report: WorkerReport, admission: Admission, document: ServiceDocument) -> None:
        """Remember the report of an engine that is asked for admission, or reports it all the same."""
        before = self._engines.pop(report.pod.uid, None)
        counts, fault = _counts(report)
        if fault:
            self._metrics.kv_unreadable_counts.inc()
            if before is None or not before.fault:
                pod = f"{report.pod.namespace}/{report.pod.name}"
                log.warning("the counts of an engine's KV memory can't be read", pod=pod, fault=fault)
        if counts is not None or fault or admission.mode is not AdmissionMode.OFF:
            known = admission_settings.reason(admission, document, counts)
            self._engines[report.pod.uid] = KvEngine(
                service=f"{report.pod.namespace}/{report.service}",
                reported_s=self._clock(),
                counts=counts,
                reason=Reason.READINGS_UNKNOWN if fault else known,
                fault=fault,
            )
        self._forget()

    def _forget(self) -> None:
        """Drop engines that are silent for long, and the longest silent ones of too many."""
        now = self._clock()
        for uid in [uid for uid, one in self._engines.items() if now - one.reported_s > FORGOTTEN_S]:
            del self._engines[uid]
        while len(self._engines) > MOST_ENGINES:
            del self._engines[next(iter(self._engines))]


def _counts(report: WorkerReport) -> tuple[AdmissionCounts | None, str]:
    """The counts in a report, and why they can't be read, if so."""
    section = report.counters.get(Loop.KV.value)
    if section is None:
        return None, ""
    try:
        return decode(section).admission, ""
    except InvalidInput as error:
        return None, str(error)[:300]
