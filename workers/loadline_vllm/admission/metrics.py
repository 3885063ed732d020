"""The metrics of admission, in the engine's own `/metrics`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loadline_api.kv_counts import AdmissionCounts
from loadline_policies.kv.predicted_memory import AdmissionMode
from loadline_vllm.admission.labels import RULES, Off
from loadline_vllm.metric_series import Published, Series

IN_FORCE = Series(
    name="loadline:admission_in_force",
    help="1 while requests wait until the batch with them is predicted to fit, 0 while that is only counted.",
)
KNOWN = Series(name="loadline:admission_known_requests", help="Requests whose lengths predictions can go by.")
PEAK = Series(
    name="loadline:admission_predicted_peak_blocks",
    help="Blocks of KV memory that the batch with the last request that was asked for would need at most, as"
    " predicted; absent before the first.",
)
POOL = Series(name="loadline:admission_pool_blocks", help="Blocks of KV memory that requests can hold.")
REFUSALS = Series(
    name="loadline:admission_refusals",
    help="Steps in which the first waiting request was refused, or would have been where that is only"
    " counted.",
    type="counter",
)
PREEMPTIONS = Series(
    name="loadline:admission_preemptions",
    help="Preempted requests, by the rule that chose them. newest is vLLM's own; reset: the prefix cache was"
    " flushed.",
    labels=("rule",),
    values=RULES,
    type="counter",
)
PREEMPTED_TOKENS = Series(
    name="loadline:admission_preempted_tokens",
    help="Tokens that requests had computed when they were preempted for want of memory.",
    type="counter",
)
MISPREDICTED = Series(
    name="loadline:admission_mispredicted",
    help="Requests that outgrew what was predicted for them; counted by the estimator buckets alone.",
    type="counter",
)
IGNORED_DEADLINES = Series(
    name="loadline:admission_ignored_deadlines",
    help="Requests whose loadline_deadline_ms was no number of milliseconds up to a day.",
    type="counter",
)
OFF = Series(
    name="loadline:admission_off",
    help="Engine cores that admit as vLLM does, although LOADLINE_ADMISSION asks for more.",
    labels=("reason",),
    values=tuple(Off),
)
ALL = (
    IN_FORCE,
    KNOWN,
    PEAK,
    POOL,
    REFUSALS,
    PREEMPTIONS,
    PREEMPTED_TOKENS,
    MISPREDICTED,
    IGNORED_DEADLINES,
    OFF,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What all engine cores counted; `counts` is None if none of them admits by prediction."""

    counts: AdmissionCounts | None
    off: Mapping[str, int]
    preemptions: Mapping[str, int]
    ignored_deadlines: int = 0


@dataclass(slots=True)
class AdmissionMetrics:
    """The series in the process that serves `/metrics`."""

    _published: Published = field(default_factory=Published)

    def publish(self, observation: Observation) -> None:
        """Publish what the cores counted."""
        published = self._published
        for reason in Off:
            published.set(OFF, observation.off.get(reason, 0), reason)
        counts = observation.counts
        if counts is None:
            return
        published.set(IN_FORCE, counts.mode is AdmissionMode.ENFORCE)
        published.set(KNOWN, counts.known_requests)
        published.set(POOL, counts.pool_blocks)
        if counts.predicted_peak_blocks is not None:
            published.set(PEAK, counts.predicted_peak_blocks)
        published.count(REFUSALS, counts.refusals)
        for rule in RULES:
            published.count(PREEMPTIONS, observation.preemptions.get(rule, 0), rule)
        published.count(PREEMPTED_TOKENS, counts.preempted_tokens)
        published.count(MISPREDICTED, counts.mispredicted)
        published.count(IGNORED_DEADLINES, observation.ignored_deadlines)
