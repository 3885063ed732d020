"""
How an InferenceService runs: its model, its engine, its pools and the router before them.

Field names follow KServe's LLMInferenceService where it has one (`parallelism`,
`prefill`, `router`, `template`, `rolloutStrategy`), so that its users can read ours.
Whatever has no field here goes through `template`, which is laid over the pods that the
operator makes.

What can't work together is refused by CEL, with the field and the mend: an engine that
only fails once it has loaded its weights costs its owner a quarter of an hour.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict

from loadline_api.objectives import PolicyName
from loadline_api.quantities import INT32, DecimalText, Degree, Replicas
from loadline_api.schemas import Spec, rule, validations

PRESERVED: JsonDict = {"x-kubernetes-preserve-unknown-fields": True}

Argument = Annotated[str, Field(min_length=1, max_length=1024)]
"""One argument of the engine's command line, as `--name=value`."""

Tokens = Annotated[int, Field(strict=True, ge=1, le=100_000_000, json_schema_extra=INT32)]
"""A length in tokens."""

PERCENT = r"^(100|[0-9]{1,2})%$"

CountOrPercent = Annotated[
    Annotated[int, Field(strict=True, ge=0, le=10_000)] | Annotated[str, Field(pattern=PERCENT)],
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": PERCENT, "minimum": 0, "maximum": 10_000}),
]
"""A count of pods or a percentage of them, as Deployments write it."""


class Model(Spec):
    """What is served."""

    uri: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^(hf|pvc|oci|file)://.+$",
        description="Where the weights are: hf://ORG/MODEL[@REVISION], pvc://CLAIM[/PATH], oci://IMAGE[/PATH]"
        " or file:///PATH in the pod.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Name that clients ask for; left out: the service's name.",
    )


class Parallelism(Spec):
    """How one replica is spread over GPUs and nodes."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "(self.tensor * self.pipeline * self.data) % self.nodes == 0",
                says="'parallelism.nodes is %d, which does not divide the %d GPUs of the replica (tensor ×"
                " pipeline × data): use a divisor'"
                ".format([self.nodes, self.tensor * self.pipeline * self.data])",
            )
        )
    )

    tensor: Degree = Field(default=1, description="GPUs that share each layer.")
    pipeline: Degree = Field(default=1, description="Stages that the layers are cut into.")
    data: Degree = Field(default=1, description="Copies of the attention layers, or of the whole model.")
    expert: bool = Field(
        default=False, description="Whether experts are spread over the GPUs instead of cut."
    )
    nodes: Degree = Field(
        default=1, description="Nodes that one replica spans; above one it needs LeaderWorkerSet installed."
    )

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline * self.data

    @property
    def gpus_of_a_pod(self) -> int:
        """GPUs of one of the replica's pods, one pod a node."""
        return self.gpus // self.nodes


class Engine(Spec):
    """What the engine is started with, beyond the model and its spread."""

    max_model_length: Tokens | None = Field(
        default=None, description="Most tokens of a prompt and its answer; left out: the model's own."
    )
    max_sequences: Tokens | None = Field(
        default=None, description="Most requests in one step; left out: the engine's own."
    )
    arguments: tuple[Argument, ...] = Field(
        default=(),
        description="Further arguments of the engine, after ours, each as --name=value.",
        json_schema_extra={"maxItems": 64, "x-kubernetes-list-type": "atomic"},
    )


class KvDtype(StrEnum):
    """Types in which the engine keeps keys and values."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FP8 = "fp8"
    FP8_E4M3 = "fp8_e4m3"
    FP8_E5M2 = "fp8_e5m2"


class KvCache(Spec):
    """The memory of keys and values."""

    dtype: KvDtype = Field(default=KvDtype.AUTO, description="Type in which keys and values are kept.")
    policy_ref: PolicyName | None = Field(
        default=None, description="Policy of the KV memory's loop; left out: the namespace's default."
    )


class Prefill(Spec):
    """A pool of its own for prefill."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.replicas) != has(self.perDecode)",
                message="prefill needs one size: set prefill.replicas for a fixed count or prefill.perDecode"
                " for a ratio, one of the two",
            ),
            rule(
                "!has(self.perDecode) || double(self.perDecode) > 0.0",
                says="'prefill.perDecode is %s: give a ratio above zero, or leave prefill out'"
                ".format([self.perDecode])",
            ),
        )
    )

    replicas: Replicas | None = Field(default=None, description="Fixed count of prefill replicas.")
    per_decode: DecimalText | None = Field(
        default=None,
        description='Prefill replicas for each decode replica, a decimal string ("0.5"), rounded up;'
        " follows /scale.",
    )
    parallelism: Parallelism | None = Field(
        default=None, description="How one prefill replica is spread; left out: like the main pool."
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="As spec.template, for the prefill pods alone; laid over it.",
        json_schema_extra=PRESERVED,
    )


class RouterPolicy(StrEnum):
    """How the router chooses among replicas."""

    CACHE_AWARE = "CacheAware"
    CONSISTENT_HASH = "ConsistentHash"
    POWER_OF_TWO = "PowerOfTwo"
    RANDOM = "Random"
    ROUND_ROBIN = "RoundRobin"


class Router(Spec):
    """The proxy in front of the pools."""

    replicas: Degree = Field(default=1, description="How many routers.")
    policy: RouterPolicy = Field(
        default=RouterPolicy.CACHE_AWARE, description="How a replica is chosen for a request."
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Parts of a pod template, merged into the router's pods; its container is `router`.",
        json_schema_extra=PRESERVED,
    )


class RolloutStrategy(Spec):
    """How a change that needs new pods replaces the old ones."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "!((type(self.maxSurge) == int ? self.maxSurge == 0 : self.maxSurge == '0%')"
                " && (type(self.maxUnavailable) == int ? self.maxUnavailable == 0"
                " : self.maxUnavailable == '0%'))",
                message="rolloutStrategy lets no pod come and none go: raise maxSurge or maxUnavailable",
            )
        )
    )

    max_surge: CountOrPercent = Field(
        default=1, description="Pods above the desired count while rolling, a count or a percentage."
    )
    max_unavailable: CountOrPercent = Field(
        default=0, description="Pods below the desired count while rolling, a count or a percentage."
    )
