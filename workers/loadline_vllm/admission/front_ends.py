"""
Admission's part in the engine's front-end: it adds up what the engine cores counted, and publishes it.

With data parallelism an engine has several cores, each with a scheduler and a pool of its own. Counters are
sums over them. Of shares of memory it is the fullest core's that counts, and of known lengths the fewest. A
core whose admission is off counts as a failed one where others admit: what they say isn't so for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from loadline_api.kv_counts import AdmissionCounts, KvCounts
from loadline_policies.kv.predicted_memory import AdmissionMode
from loadline_vllm.admission.metrics import AdmissionMetrics, Observation


@dataclass(frozen=True, slots=True)
class AdmissionFrontEnd:
    """What one front-end publishes."""

    metrics: AdmissionMetrics = field(default_factory=AdmissionMetrics)

    def counted(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, JsonValue]:
        """Publish what the cores answered, and return the section of a report."""
        observation = of_cores(answers)
        self.metrics.publish(observation)
        off = min(observation.off, default=None)
        return KvCounts(admission=observation.counts, off=off).encode()


def of_cores(answers: Sequence[Mapping[str, Any]]) -> Observation:
    """The observation of an engine, from what `core_rpc.counts` answered in each of its cores."""
    preemptions: Counter[str] = Counter()
    for answer in answers:
        preemptions.update(answer.get("preemptions", {}))
    counted = [answer["admission"] for answer in answers if answer.get("admission") is not None]
    silent = len(answers) - len(counted)
    return Observation(
        counts=_sum([AdmissionCounts.model_validate(one) for one in counted], silent=silent),
        off=Counter(answer["off"] for answer in answers if answer["off"] is not None),
        preemptions=preemptions,
        ignored_deadlines=sum(answer.get("ignored_deadlines", 0) for answer in answers),
    )


def _sum(counts: Sequence[AdmissionCounts], *, silent: int) -> AdmissionCounts | None:
    """The counts of all cores together, of which `silent` more count nothing; None without one."""
    if not counts:
        return None
    pool_blocks = sum(one.pool_blocks for one in counts)
    peaks = [
        one.predicted_peak_blocks / one.pool_blocks
        for one in counts
        if one.predicted_peak_blocks is not None and one.pool_blocks
    ]
    used = [one.used_blocks / one.pool_blocks for one in counts if one.pool_blocks]
    enforced = all(one.mode is AdmissionMode.ENFORCE for one in counts)
    return AdmissionCounts(
        mode=AdmissionMode.ENFORCE if enforced else AdmissionMode.OBSERVE,
        estimator=counts[0].estimator,
        is_warm=all(one.is_warm for one in counts),
        known_requests=min(one.known_requests for one in counts),
        pool_blocks=pool_blocks,
        used_blocks=round(max(used, default=0.0) * pool_blocks),
        predicted_peak_blocks=round(max(peaks) * pool_blocks) if peaks else None,
        running=sum(one.running for one in counts),
        waiting=sum(one.waiting for one in counts),
        refusals=sum(one.refusals for one in counts),
        preemptions=sum(one.preemptions for one in counts),
        preempted_tokens=sum(one.preempted_tokens for one in counts),
        mispredicted=sum(one.mispredicted for one in counts),
        errors=sum(one.errors for one in counts) + silent,
    )
