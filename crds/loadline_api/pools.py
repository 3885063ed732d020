"""
How an InferenceService runs: its pools, their spread, the router before them, how they roll.

Field names follow KServe's LLMInferenceService where it has one (`parallelism`,
`prefill`, `router`, `template`, `rolloutStrategy`), so that its users can read ours.
Whatever has no field here goes through `template`, which is laid over the pods that the
operator makes.

What can't work together is refused by CEL, with the field and the fix. What one engine
is started with is in `engines`.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from loadline_api.objectives import PolicyName, policy_of
from loadline_api.quantities import DECIMAL, DecimalText, Degree, Replicas
from loadline_api.removals import template_schema
from loadline_api.schemas import Spec, rule, validations
from loadline_policies.loops import Loop

PERCENT = r"^(100|[1-9]?[0-9])%$"

CountOrPercent = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=10_000)] | Annotated[str, Field(pattern=PERCENT)],
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 0,
            "maximum": 10_000,
            "maxLength": 16,
            **validations(
                rule(
                    f"type(self) == int || self.matches('{PERCENT}')",
                    says="'%s is neither a count nor a percentage: write a count, such as 1, or a percentage,"
                    ' such as "25%%"\'.format([self])',
                )
            ),
        }
    ),
]
"""A count of pods or a percentage of them, as Deployments write it."""


class Parallelism(Spec):
    """How one replica is spread over GPUs and nodes."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.nodes < 1 || (self.tensor * self.pipeline * self.data) % self.nodes == 0",
                at=".nodes",
                says="'parallelism.nodes is %d, which does not divide the %d GPUs of the replica (tensor ×"
                " pipeline × data): use a divisor'"
                ".format([self.nodes, self.tensor * self.pipeline * self.data])",
            )
        )
    )

    tensor: Degree = Field(default=1, description="GPUs that share each layer.")
    pipeline: Degree = Field(default=1, description="Stages into which the layers are divided.")
    data: Degree = Field(default=1, description="Copies of the attention layers, or of the whole model.")
    expert: bool = Field(
        default=False,
        description="Distribute whole experts over the GPUs instead of splitting each one.",
    )
    nodes: Degree = Field(
        default=1, description="Nodes that one replica spans; more than 1 needs LeaderWorkerSet installed."
    )

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline * self.data

    @property
    def gpus_of_a_pod(self) -> int:
        """GPUs of one of the replica's pods, one pod a node."""
        return self.gpus // self.nodes


class Prefill(Spec):
    """A pool of its own for prefill."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.replicas) != has(self.perDecode)",
                message="prefill needs one size: set either prefill.replicas, a fixed count, or"
                " prefill.perDecode, a ratio",
            ),
            rule(
                "!has(self.replicas) || self.replicas > 0",
                message="prefill.replicas is 0, so the decode pool would have no prefill engine: set it to 1"
                " or more, or remove prefill",
                at=".replicas",
            ),
            rule(
                f"!has(self.perDecode) || !self.perDecode.matches('{DECIMAL}')"
                " || double(self.perDecode) > 0.0",
                at=".perDecode",
                says="'prefill.perDecode is %s: set a ratio above 0, or remove prefill'"
                ".format([self.perDecode])",
            ),
        )
    )

    replicas: Replicas | None = Field(default=None, description="Fixed count of prefill replicas.")
    per_decode: DecimalText | None = Field(
        default=None,
        description='Prefill replicas for each decode replica, a decimal string ("0.5"); the operator'
        " multiplies it by spec.replicas and rounds up.",
    )
    parallelism: Parallelism | None = Field(
        default=None,
        description="How one prefill replica is spread over GPUs; defaults to spec.parallelism.",
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Like spec.template, but for prefill pods only; merged after spec.template.",
        json_schema_extra=template_schema("the prefill pods"),
    )
    policy_ref: PolicyName | None = policy_of(Loop.PHASES)


class RouterPolicy(StrEnum):
    """How the router chooses among replicas."""

    CACHE_AWARE = "CacheAware"
    CONSISTENT_HASH = "ConsistentHash"
    POWER_OF_TWO = "PowerOfTwo"
    RANDOM = "Random"
    ROUND_ROBIN = "RoundRobin"


class Router(Spec):
    """The proxy in front of the pools."""

    replicas: Degree = Field(default=1, description="Number of router pods.")
    policy: RouterPolicy = Field(
        default=RouterPolicy.CACHE_AWARE, description="How the router chooses an engine for a request."
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Parts of a pod template, merged into the router's pods; its container is `router`.",
        json_schema_extra=template_schema("the router's pods"),
    )


class RolloutStrategy(Spec):
    """How a change that needs new pods replaces the old ones."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "!((type(self.maxSurge) == int ? self.maxSurge == 0 : self.maxSurge == '0%')"
                " && (type(self.maxUnavailable) == int ? self.maxUnavailable == 0"
                " : self.maxUnavailable == '0%'))",
                message="rolloutStrategy has maxSurge and maxUnavailable 0, so no pod could be replaced:"
                " raise one of them",
            )
        )
    )

    max_surge: CountOrPercent = Field(
        default=1, description="Pods above the desired count during a rollout, a count or a percentage."
    )
    max_unavailable: CountOrPercent = Field(
        default=0, description="Pods below the desired count during a rollout, a count or a percentage."
    )
