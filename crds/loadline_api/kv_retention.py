"""
What a service asks of retention, which bounds the KV memory of each request.

Bounding a request drops tokens that it would look at, so it changes answers. A service says whether that may
be, how many tokens stay and which, and how far a policy may lower their number. What excludes it elsewhere in
a spec is in `kv_retention_rules`, what agents report of it in `kv_retention_status`.

Names and bounds are those of the engine's settings (`LOADLINE_RETENTION_…`).
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from loadline_api.objectives import PolicyName, policy_of
from loadline_api.quantities import INT32
from loadline_api.schemas import Spec, rule, validations
from loadline_policies.loops import Loop

WORKER_OPTION: Final = "--worker-cls"
WORKER: Final = "loadline_vllm.retention.workers.RetentionWorker"
"""Loadline's worker, as vLLM finds it."""

REFUSAL: Final = "this engine can't bound the KV memory of its requests: "
"""What an engine that refuses to start says before the reason, in its log and in its last words."""

LEAST_BLOCK: Final = 16
"""Tokens of vLLM's smallest usual block. An engine chooses its size itself if no argument says it."""

MOST_BUDGET: Final = 2**24
MOST_OF_A_PART: Final = 2**20
"""Tokens, as the engine allows."""


class RetentionMode(StrEnum):
    """How far requests may be bounded in a service's engines."""

    OFF = "Off"
    OBSERVE = "Observe"
    ENFORCE = "Enforce"


class KeptTokens(StrEnum):
    """Which tokens of a bounded request stay."""

    STREAMING = "Streaming"
    KEY_NORM = "KeyNorm"
    KEY_DIFF = "KeyDiff"
    RANDOM = "Random"
    TRIM_KV = "TrimKv"
    CHELSEA = "Chelsea"


class QualityClass(StrEnum):
    """How far a policy may lower the budget of requests."""

    FULL = "Full"
    HIGH = "High"
    STANDARD = "Standard"


class OnProbeFailure(StrEnum):
    """What an engine does that finds, when it starts, that it can't bound its requests."""

    DEGRADE = "Degrade"
    REFUSE = "Refuse"


BudgetTokens = Annotated[int, Field(strict=True, ge=LEAST_BLOCK, le=MOST_BUDGET, json_schema_extra=INT32)]
BufferTokens = Annotated[int, Field(strict=True, ge=LEAST_BLOCK, le=MOST_OF_A_PART, json_schema_extra=INT32)]
TokensOfAPart = Annotated[int, Field(strict=True, ge=0, le=MOST_OF_A_PART, json_schema_extra=INT32)]

BUDGETS: Final = ("budgetTokens", "mostTokens")
IN_BLOCKS: Final = (*BUDGETS, "bufferTokens")
"""Fields that have to be multiples of the engine's block size."""


def _whole_blocks(field: str) -> JsonDict:
    return rule(
        f"!has(self.{field}) || self.{field} % {LEAST_BLOCK} == 0",
        says=f"'kvCache.retention.{field} is %d: set a multiple of {LEAST_BLOCK}, and of the block size"
        f" of the engine if that is larger'.format([self.{field}])",
        at=f".{field}",
    )


def _room_to_choose(field: str) -> JsonDict:
    """The engine keeps so much of a budget for what it chooses."""
    return rule(
        f"!has(self.{field}) || self.{field} >= 2 * (self.sinkTokens + self.recentTokens)",
        says=f"'kvCache.retention.{field} is %d, less than twice sinkTokens (%d) and recentTokens (%d)"
        " together: raise it, or lower one of the two'"
        f".format([self.{field}, self.sinkTokens, self.recentTokens])",
        at=f".{field}",
    )


def _half_protected(field: str, *, unless: str = "") -> JsonDict:
    """No more of a prompt can be protected."""
    spared = f" || has(self.{unless})" if unless else ""
    return rule(
        f"!has(self.protectTokens) || !has(self.{field}){spared} || 2 * self.protectTokens <= self.{field}",
        says=f"'kvCache.retention.protectTokens is %d, more than half of {field} (%d): lower it, or raise"
        f" {field}'.format([self.protectTokens, self.{field}])",
        at=".protectTokens",
    )


class Retention(Spec):
    """How the KV memory of each request is bounded."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            *map(_whole_blocks, IN_BLOCKS),
            *map(_room_to_choose, BUDGETS),
            _half_protected("budgetTokens"),
            _half_protected("mostTokens", unless="budgetTokens"),
            rule(
                "!has(self.budgetTokens) || !has(self.mostTokens) || self.budgetTokens <= self.mostTokens",
                says="'kvCache.retention.budgetTokens is %d, above mostTokens (%d): lower budgetTokens"
                " or raise mostTokens'.format([self.budgetTokens, self.mostTokens])",
                at=".budgetTokens",
            ),
            rule(
                "self.policy != 'TrimKv' || has(self.gatesPath)",
                message="kvCache.retention.policy is TrimKv, which needs a file of gates: set gatesPath to a"
                " file that `loadline kv train-gates` wrote for this model, and mount it in template",
                at=".policy",
            ),
            rule(
                "!has(self.gatesPath) || self.policy == 'TrimKv'",
                says="'kvCache.retention.gatesPath is %s, but policy is %s, which reads no gates: remove"
                " gatesPath, or set policy to TrimKv'.format([self.gatesPath, self.policy])",
                at=".gatesPath",
            ),
        )
    )

    mode: RetentionMode = Field(
        default=RetentionMode.OFF,
        description="Off: engines run vLLM's own worker, and requests keep all of their tokens. Observe:"
        " engines run Loadline's scheduler and worker, requests keep all of their tokens, and the policy"
        " reports what it would do. Enforce: requests are bounded, which changes answers. With model,"
        f" changing it restarts the engines, and all but Off set {WORKER_OPTION}, --scheduler-cls and"
        " VLLM_PLUGINS: the engine's image must have Loadline's package, or the engine doesn't start.",
    )
    policy_ref: PolicyName | None = policy_of(Loop.KV_RETENTION)
    policy: KeptTokens = Field(
        default=KeptTokens.STREAMING,
        description="Which tokens of a bounded request stay, beside its first and last ones. Streaming: the"
        " latest. KeyNorm: those with small keys. KeyDiff: those whose keys are least like the others."
        " Random: any. TrimKv: as gates say that were trained for the model. Chelsea: tokens whose keys are"
        " alike are merged into one.",
    )
    budget_tokens: BudgetTokens | None = Field(
        default=None,
        description="Tokens that each request keeps while the policy sets no smaller budget; absent: all, or"
        " mostTokens.",
    )
    most_tokens: BudgetTokens | None = Field(
        default=None,
        description="The largest budget of any request. With it under Enforce no request keeps all of its"
        " tokens, so the KV memory need not hold the model's whole context.",
    )
    buffer_tokens: BufferTokens = Field(
        default=256, description="Tokens that a request gathers above its budget before some are dropped."
    )
    sink_tokens: TokensOfAPart = Field(default=4, description="First tokens of a request that always stay.")
    recent_tokens: TokensOfAPart = Field(default=32, description="Last tokens of a request that always stay.")
    protect_tokens: TokensOfAPart | None = Field(
        default=None,
        description="First tokens of each prompt that always stay, such as a system prompt; by default 64, or"
        " half of the budget if that is less.",
    )
    gates_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern="^/",
        description="File of gates for TrimKv, as a path in the engine's container.",
    )
    quality_class: QualityClass = Field(
        default=QualityClass.STANDARD,
        description="How far the policy may lower the budget. Full: never. High: to its first step. Standard:"
        " to its last one.",
    )
    on_probe_failure: OnProbeFailure = Field(
        default=OnProbeFailure.DEGRADE,
        description="What an engine does under Enforce that can't bound its requests. Degrade: it serves, and"
        " requests keep all of their tokens; RetentionActive is False. Refuse: it doesn't start; Ready has"
        " the reason.",
    )
