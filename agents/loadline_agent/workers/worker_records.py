"""
The workers of this node: what each reported last, and the number of the settings that it was given.

A generation is a number for one worker only. The agent counts it upwards when the settings change, and begins
after the highest one that the worker reports: so an agent that was restarted never gives an old number
to other settings. Settings that a worker has withdrawn come again under a new number, but only after a while.

Pure: the server gives the time. How many workers are remembered is bounded, and counters aren't kept:
nobody reads them yet.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from loadline_agent import gauges
from loadline_agent.gauges import Reading
from loadline_api.worker_messages import (
    LAST_GENERATION,
    SettingsSection,
    WorkerPod,
    WorkerReport,
    WorkerSettings,
)
from loadline_policies.errors import InvalidInput

LEASE_S: Final = 12.0
"""How long settings hold: four reports of the plugin, of which three may be lost. Chosen."""

RETRY_S: Final = 60.0
"""When settings that were withdrawn are given again. Chosen."""

FORGOTTEN_S: Final = 600.0
"""When a worker that doesn't report any more is forgotten. Chosen."""

MOST_WORKERS: Final = 512
"""Workers remembered: more than a node's pods. Chosen."""

Sections = Mapping[str, SettingsSection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker; it was first given this generation at `since_s`, and reported last at `reported_s`."""

    pod: WorkerPod
    service: str
    pool: str
    ranks: int
    holds: int | None
    withdrawn: int
    reported_s: float
    generation: int = 0
    since_s: float = 0.0
    sections: Sections = field(default_factory=dict)


class WorkerRecords:
    """The workers of one node, by the uids of their pods."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def answer(self, report: WorkerReport, sections: Sections, *, now: float) -> WorkerSettings:
        """Take a worker's report; the answer with these sections, under their number for this worker.

        InvalidInput if the worker has used up all numbers, which only a false report can say.
        """
        before = self._workers.get(report.pod.uid)
        generation = _generation(before, report, sections, now=now)
        same = before is not None and before.generation == generation
        self._workers.pop(report.pod.uid, None)
        self._workers[report.pod.uid] = Worker(
            pod=report.pod,
            service=f"{report.pod.namespace}/{report.service}",
            pool=report.pool,
            ranks=report.ranks,
            holds=report.generation,
            withdrawn=report.withdrawn,
            reported_s=now,
            generation=generation,
            since_s=before.since_s if before is not None and same else now,
            sections=sections,
        )
        self._forget(now)
        return WorkerSettings(generation=generation, lease_s=LEASE_S, sections=dict(sections))

    def workers(self, now: float) -> list[Worker]:
        """Those that have reported within a lease, by namespace and name."""
        fresh = (one for one in self._workers.values() if now - one.reported_s <= LEASE_S)
        return sorted(fresh, key=lambda one: (one.pod.namespace, one.pod.name, one.pod.uid))

    def shown(self, now: float) -> list[dict[str, object]]:
        """The same for people, as JSON."""
        return [
            {
                "pod": one.pod.model_dump(),
                "service": one.service,
                "pool": one.pool,
                "ranks": one.ranks,
                "age_s": round(now - one.reported_s, 1),
                "generation": one.generation,
                "holds": one.holds,
                "withdrawn": one.withdrawn,
                "policies": {
                    loop: {"policy": section.policy, "policy_hash": section.policy_hash}
                    for loop, section in sorted(one.sections.items())
                },
            }
            for one in self.workers(now)
        ]

    def readings(self, now: float) -> Iterator[Reading]:
        """For each service: how many workers report, how many hold what they were given, and its policies."""
        by_service: dict[str, list[Worker]] = {}
        for one in self.workers(now):
            by_service.setdefault(one.service, []).append(one)
        for service, here in sorted(by_service.items()):
            settled = sum(one.holds == one.generation for one in here)
            yield gauges.SERVICE_WORKERS.reading(len(here), service)
            yield gauges.SERVICE_SETTLED_WORKERS.reading(settled, service)
            given = max(here, key=lambda one: one.reported_s)
            for loop, section in sorted(given.sections.items()):
                yield gauges.SERVICE_POLICY.reading(1.0, service, loop, section.policy, section.policy_hash)

    def _forget(self, now: float) -> None:
        """Drop workers that are silent for long, and the longest silent ones of too many."""
        for uid in [uid for uid, one in self._workers.items() if now - one.reported_s > FORGOTTEN_S]:
            del self._workers[uid]
        while len(self._workers) > MOST_WORKERS:
            del self._workers[next(iter(self._workers))]


def _generation(before: Worker | None, report: WorkerReport, sections: Sections, *, now: float) -> int:
    if before is not None and before.sections == sections and report.highest <= before.generation:
        withdrawn = report.withdrawn == before.generation
        if not withdrawn or now - before.since_s < RETRY_S:
            return before.generation
    newest = max(report.highest, before.generation if before is not None else 0)
    if newest >= LAST_GENERATION:
        raise InvalidInput("report.highest", report.highest, fix="restart the engine")
    return newest + 1
