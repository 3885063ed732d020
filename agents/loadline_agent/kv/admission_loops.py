"""
The loop over the KV memory of one node's engines: what each gets for its settings, and what it last reported.

An engine that doesn't report gets no settings, and falls back to vLLM's admission by its lease. Counts decide
nothing here: a report whose counts can't be read is answered as any other.

A report may lack counts for a while: at the start of an engine, and after each change until they are read
again. What was known before stands until then. An engine that goes on without them has no part that counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import structlog

from loadline_agent.kv import admission_settings
from loadline_agent.metrics import Metrics
from loadline_api.kv_cache import Admission, AdmissionMode
from loadline_api.kv_counts import AdmissionCounts, KvCounts, decode
from loadline_api.reasons import Reason
from loadline_api.worker_messages import SettingsSection, WorkerReport
from loadline_policies.documents import ServiceDocument
from loadline_policies.errors import InvalidInput
from loadline_policies.loops import Loop

FORGOTTEN_S: Final = 600.0
"""When an engine that doesn't report any more is forgotten. Chosen."""

UNCOUNTED_S: Final = 20.0
"""How long reports may lack counts. Chosen: the plugin reads them every few seconds, between two steps."""

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
        self._uncounted_since_s: dict[str, float] = {}

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
        found, fault = _counts(report)
        if found is None and not fault and self._is_early(report.pod.uid):
            if before is not None:
                self._engines[report.pod.uid] = replace(before, reported_s=self._clock())
            return
        if found is not None:
            self._uncounted_since_s.pop(report.pod.uid, None)
        found = found or KvCounts()
        counts = found.admission
        if fault:
            self._metrics.kv_unreadable_counts.inc()
            if before is None or not before.fault:
                pod = f"{report.pod.namespace}/{report.pod.name}"
                log.warning("the counts of an engine's KV memory can't be read", pod=pod, fault=fault)
        if counts is not None or fault or admission.mode is not AdmissionMode.OFF:
            known = admission_settings.reason(admission, document, found)
            self._engines[report.pod.uid] = KvEngine(
                service=f"{report.pod.namespace}/{report.service}",
                reported_s=self._clock(),
                counts=counts,
                reason=Reason.READINGS_UNKNOWN if fault else known,
                fault=fault,
            )
        self._forget()

    def _is_early(self, uid: str) -> bool:
        """Whether an engine has not lacked counts for long."""
        now = self._clock()
        return now - self._uncounted_since_s.setdefault(uid, now) < UNCOUNTED_S

    def _forget(self) -> None:
        """Drop engines that are silent for long, and the longest silent ones of too many."""
        now = self._clock()
        for uid in [uid for uid, one in self._engines.items() if now - one.reported_s > FORGOTTEN_S]:
            del self._engines[uid]
        known = self._engines.keys()
        self._uncounted_since_s = {
            uid: since_s
            for uid, since_s in self._uncounted_since_s.items()
            if uid in known or now - since_s <= FORGOTTEN_S
        }
        while len(self._engines) > MOST_ENGINES:
            del self._engines[next(iter(self._engines))]


def _counts(report: WorkerReport) -> tuple[KvCounts | None, str]:
    """The counts in a report, None if it has none, and why they can't be read, if so."""
    section = report.counters.get(Loop.KV.value)
    if section is None:
        return None, ""
    try:
        return decode(section), ""
    except InvalidInput as error:
        return None, str(error)[:300]
