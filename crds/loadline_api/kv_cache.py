"""
What a service asks of its engines' KV memory, and what agents report of how requests are admitted to it.
How requests are bounded is in `kv_retention`.

A request holds the keys and values of all its tokens while it runs. vLLM starts one when its prompt fits, so
a batch can outgrow the memory, and requests are preempted and computed again. Loadline's scheduler can let a
request wait until the batch with it is predicted to fit. A service says how far that may go, and its status
has what engines have read back.

Each figure of a status is absent while it is unknown. Figures move with every request, so a status is written
again only when one has moved far enough that a person would act otherwise (`AdmissionStatus.is_news_to`).
"""

from enum import StrEnum
from typing import Final

from pydantic import Field
from pydantic.config import JsonDict

from loadline_api.kv_retention import Retention
from loadline_api.kv_retention_rules import ASKED as RETENTION_ASKED
from loadline_api.kv_retention_rules import KV_RETENTION_RULES, arguments_of
from loadline_api.kv_retention_status import RetentionStatus
from loadline_api.material_moves import counter_moved, share_moved
from loadline_api.objectives import PolicyName, policy_of
from loadline_api.quantities import INT32, Count
from loadline_api.reasons import Reason
from loadline_api.schemas import Spec, Status, rule
from loadline_policies.loops import Loop

SCHEDULER_OPTION: Final = "--scheduler-cls"
SCHEDULER: Final = "loadline_vllm.schedulers.LoadlineScheduler"
"""Loadline's scheduler, as vLLM finds it."""

MOST_RESERVE_PERCENT: Final = 50
"""As the policy allows."""


class KvDtype(StrEnum):
    """Types in which the engine keeps keys and values: those of vLLM 0.32."""

    AUTO = "auto"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FP8 = "fp8"
    FP8_E4M3 = "fp8_e4m3"
    FP8_E5M2 = "fp8_e5m2"
    FP8_INC = "fp8_inc"
    FP8_DS_MLA = "fp8_ds_mla"
    NVFP4_DS_MLA = "nvfp4_ds_mla"
    TURBOQUANT_K8V4 = "turboquant_k8v4"
    TURBOQUANT_4BIT_NC = "turboquant_4bit_nc"
    TURBOQUANT_K3V4_NC = "turboquant_k3v4_nc"
    TURBOQUANT_3BIT_NC = "turboquant_3bit_nc"
    ULTRAQUANT_4BIT = "ultraquant_4bit"
    INT4_PER_TOKEN_HEAD = "int4_per_token_head"
    INT8_PER_TOKEN_HEAD = "int8_per_token_head"
    FP8_PER_TOKEN_HEAD = "fp8_per_token_head"
    NVFP4 = "nvfp4"
    NVFP4_4OVER6 = "nvfp4_4over6"


class AdmissionMode(StrEnum):
    """How far Loadline's scheduler may go in a service's engines."""

    OFF = "Off"
    OBSERVE = "Observe"
    ENFORCE = "Enforce"


class Estimator(StrEnum):
    """How the length of an answer is predicted."""

    HISTORY = "History"
    BUCKETS = "Buckets"
    WORST_CASE = "WorstCase"


class Victim(StrEnum):
    """Which request is preempted first."""

    NEWEST = "Newest"
    LEAST_COMPUTED = "LeastComputed"
    DEADLINE = "Deadline"


class Admission(Spec):
    """How requests are admitted to the KV memory."""

    mode: AdmissionMode = Field(
        default=AdmissionMode.OFF,
        description="Off: engines run vLLM's own scheduler. Observe: Loadline's scheduler decides as vLLM's"
        " and counts the requests that it would have let wait. Enforce: it lets requests wait until the batch"
        " with them is predicted to fit, if the policy enforces too; answers stay the same. With model,"
        f" changing it restarts the engines, and all but Off set {SCHEDULER_OPTION} and VLLM_PLUGINS: the"
        " engine's image must have Loadline's package, or the engine doesn't start.",
    )
    estimator: Estimator | None = Field(
        default=None,
        description="How the length of an answer is predicted, instead of as the policy says. History: as the"
        " lengths of the last requests. Buckets: from the prompt, by a classifier that learns while serving."
        " WorstCase: as long as the request allows.",
    )
    victim: Victim | None = Field(
        default=None,
        description="Which request is preempted first when memory runs out after all, instead of as the"
        " policy says. Newest: as vLLM does. LeastComputed: the one with the least to compute again."
        " Deadline: the one whose deadline is latest; clients set it as loadline_deadline_ms in a request's"
        " vllm_xargs.",
    )
    reserve_percent: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=MOST_RESERVE_PERCENT,
        description="Share of the KV memory that predicted batches leave free, in percent, instead of the"
        " policy's.",
        json_schema_extra=INT32,
    )


class KvCache(Spec):
    """The memory of keys and values."""

    dtype: KvDtype = Field(default=KvDtype.AUTO, description="Data type of the KV cache.")
    policy_ref: PolicyName | None = policy_of(Loop.KV)
    admission: Admission | None = Field(
        default=None, description="How requests are admitted to the memory; by default as vLLM does."
    )
    retention: Retention | None = Field(
        default=None,
        description="How the memory of each request is bounded; by default it keeps all of its tokens.",
    )


_CHOSEN = arguments_of((SCHEDULER_OPTION,))
_ADMITS = "(has(self.kvCache) && has(self.kvCache.admission) && self.kvCache.admission.mode != 'Off')"


def _own_scheduler(asked: str, part: str) -> JsonDict:
    """Admission and retention are in the same scheduler, which the operator sets for either."""
    return rule(
        f"!{asked} || !has(self.engine) || {_CHOSEN}.size() == 0",
        says=f"'engine.arguments has %s, but kvCache.{part}.mode is %s, for which the operator sets that"
        f" argument: remove it from engine.arguments, or set kvCache.{part}.mode to Off'"
        f".format([{_CHOSEN}[0], self.kvCache.{part}.mode])",
        at=".engine.arguments",
    )


KV_CACHE_RULES = (
    _own_scheduler(_ADMITS, "admission"),
    _own_scheduler(RETENTION_ASKED, "retention"),
    *KV_RETENTION_RULES,
)
"""Rules of the whole spec."""


GRAVEST_FIRST: Final = (
    Reason.PLUGIN_FAILED,
    Reason.ADMISSION_OFF,
    Reason.OBSERVING,
    Reason.READINGS_UNKNOWN,
    Reason.FEW_LENGTHS,
    Reason.POLICY_OBSERVES,
    Reason.NOT_ALLOWED,
    Reason.PREDICTING,
)
"""Reasons that agents report of admission; of engines that differ, the first of theirs is shown."""


class AdmissionStatus(Status):
    """How requests are admitted, as the engines that report it have read it back."""

    engines: Count = Field(default=0, description="Engines whose plugin reports to an agent.")
    enforcing_engines: Count = Field(
        default=0, description="Engines in which the policy decides which requests start, as they report."
    )
    warm_engines: Count = Field(
        default=0,
        description="Engines that know enough lengths of answers to predict by them alone, without"
        " initialTokens.",
    )
    known_requests: Count | None = Field(
        default=None,
        description="Requests of which an engine knows the length of the answer, in the engine that knows"
        " the fewest.",
    )
    predicted_peak_percent: Count | None = Field(
        default=None,
        description="Most KV memory that the batch is predicted to need, in percent of the engine's, in the"
        " engine where that is the most; above 100 if the request that was asked for has to wait.",
    )
    used_percent: Count | None = Field(
        default=None, description="KV memory in use, in percent, in the fullest engine."
    )
    refusals: Count | None = Field(
        default=None,
        description="Steps in which the first waiting request was let wait, or would have been, since these"
        " engines were started.",
    )
    preemptions: Count | None = Field(
        default=None, description="Preemptions of running requests since these engines were started."
    )
    preempted_tokens: Count | None = Field(
        default=None,
        description="Computed tokens that these preemptions lost, and that had to be computed again.",
    )
    mispredicted: Count | None = Field(
        default=None, description="Requests that outgrew what was predicted for them, since then."
    )
    reason: str | None = Field(
        default=None,
        max_length=64,
        description="Whether the policy decides, or why it doesn't, in one CamelCase word: the gravest of the"
        " engines'.",
    )

    def is_news_to(self, before: "AdmissionStatus") -> bool:
        """Whether a person who has read `before` would act otherwise after this."""
        return (
            self._acted_on != before._acted_on
            or any(map(share_moved, self._shares, before._shares))
            or any(map(counter_moved, self._counters, before._counters))
        )

    def as_moved_from(self, before: "AdmissionStatus | None") -> "AdmissionStatus":
        """`before`, unless there is none or this is news to it."""
        return self if before is None or self.is_news_to(before) else before

    def acts_like(self, other: "AdmissionStatus") -> bool:
        """Whether only figures differ, if anything does."""
        return self._acted_on == other._acted_on

    @property
    def _acted_on(self) -> tuple[object, ...]:
        return self.engines, self.enforcing_engines, self.warm_engines, self.reason

    @property
    def _shares(self) -> tuple[int | None, ...]:
        return self.predicted_peak_percent, self.used_percent

    @property
    def _counters(self) -> tuple[int | None, ...]:
        lost = self.preemptions, self.preempted_tokens, self.mispredicted
        return self.known_requests, self.refusals, *lost


class KvCacheStatus(Status):
    """How the KV memory of the engines that report it is used."""

    admission: AdmissionStatus | None = Field(
        default=None,
        description="How requests are admitted; absent if no engine reports it, or none was asked to.",
    )
    retention: RetentionStatus | None = Field(
        default=None,
        description="How requests are bounded; absent if no engine reports it, or none was asked to.",
    )
