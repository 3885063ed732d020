"""
InferenceService: a model to serve, how many replicas of it, and what it may cost.

Field names follow KServe's LLMInferenceService where it has one, so that its users can
read ours. `replicas` is always the desired count of the main (or decode) pool and is
what `/scale` moves; `scaling` gives bounds to Loadline's own sizing loop. Instead of a
model, `workloadRef` attaches the loops to a workload that somebody else owns.

`priority` orders who is slowed first; above the namespace's default it needs a right,
which an admission policy checks. The operator materialises the service, the agents
read priority, objectives and watts.
"""

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from loadline_api.conditions import LISTED_BY_TYPE, Condition
from loadline_api.quantities import (
    INT32,
    INT64,
    Count,
    DecimalText,
    Degree,
    Milliseconds,
    Name,
    Replicas,
    ServerWatts,
)
from loadline_api.schemas import ApiObject, Spec, Status, list_map, rule, validations

MAX_PRIORITY = 1000


class Model(Spec):
    """What is served."""

    uri: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^(hf|pvc|oci|file)://.+$",
        description="Where the weights are: hf://, pvc://, oci:// or file://.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Name that clients ask for; left out: the service's name.",
    )


class Scaling(Spec):
    """Bounds of the sizing loop."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.minReplicas <= self.maxReplicas",
                says="'scaling.minReplicas is %d, above scaling.maxReplicas (%d): lower the one or raise the"
                " other'"
                ".format([self.minReplicas, self.maxReplicas])",
            )
        )
    )

    min_replicas: Replicas = Field(default=1, description="Fewest replicas that the sizing loop keeps.")
    max_replicas: Replicas = Field(description="Most replicas that the sizing loop asks for.")


class Parallelism(Spec):
    """How one replica is spread over GPUs."""

    tensor: Degree = Field(default=1, description="GPUs that share each layer.")
    pipeline: Degree = Field(default=1, description="Stages that the layers are cut into.")
    data: Degree = Field(default=1, description="Copies of the attention layers, or of the whole model.")
    expert: bool = Field(
        default=False, description="Whether experts are spread over the GPUs instead of cut."
    )

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline * self.data


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
        description='Prefill replicas for each decode replica, a decimal string ("0.5"); follows /scale.',
    )
    parallelism: Parallelism | None = Field(
        default=None, description="How one prefill replica is spread; left out: like the main pool."
    )


class Router(Spec):
    """The proxy in front of the pools."""

    replicas: Replicas = Field(default=1, description="How many routers.")


class Slo(Spec):
    """Latency objectives."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.ttftMs) || has(self.itlMs)",
                message="slo sets no objective: give slo.ttftMs, slo.itlMs or both",
            )
        )
    )

    ttft_ms: Milliseconds | None = Field(
        default=None, description="Time to the first token, in milliseconds."
    )
    itl_ms: Milliseconds | None = Field(default=None, description="Time between tokens, in milliseconds.")
    percentile: int = Field(
        default=99,
        strict=True,
        ge=50,
        le=99,
        description="Percentile at which the objectives hold.",
        json_schema_extra=INT32,
    )


class PolicyName(Spec):
    """A policy ConfigMap, by name."""

    name: Name = Field(description="Name of the policy's ConfigMap.")


class Power(Spec):
    """What the service's GPUs may draw."""

    max_watts: ServerWatts | None = Field(
        default=None,
        description="Highest power limit of each GPU that the service runs on, whatever the budget allows.",
    )


class Loop(Spec):
    """How another loop treats the service."""

    policy_ref: PolicyName | None = Field(
        default=None, description="Policy of this loop; left out: the namespace's default."
    )


class WorkloadRef(Spec):
    """A workload that somebody else owns."""

    api_version: str = Field(min_length=1, max_length=317, description="Group and version of the workload.")
    kind: str = Field(min_length=1, max_length=63, description="Kind of the workload.")
    name: Name = Field(description="Name of the workload in the service's namespace.")


class InferenceServiceSpec(Spec):
    """A model, its replicas, its priority and its objectives."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.model) != has(self.workloadRef)",
                message="say what is served by one of model and workloadRef: model to have it run,"
                " workloadRef to attach to what runs already",
            ),
            rule(
                "!has(self.workloadRef)"
                " || !(has(self.prefill) || has(self.parallelism) || has(self.template) || has(self.router))",
                message="workloadRef names a workload that somebody else shapes: remove prefill, parallelism,"
                " template and router, or give model instead",
            ),
        )
    )

    model: Model | None = Field(default=None, description="What is served.")
    replicas: Replicas = Field(
        default=1, description="Desired replicas of the main or decode pool; /scale moves it."
    )
    scaling: Scaling | None = Field(
        default=None,
        description="Bounds of the sizing loop, which then moves replicas; leave it out under an HPA.",
    )
    parallelism: Parallelism | None = Field(
        default=None, description="How one replica is spread over GPUs; left out: one GPU."
    )
    prefill: Prefill | None = Field(
        default=None, description="A pool of its own for prefill; left out: one mixed pool."
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Parts of a pod template, merged into the pods by container name.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    router: Router | None = Field(
        default=None, description="The proxy in front of the pools; left out: a Service only."
    )
    priority: int = Field(
        default=0,
        strict=True,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Who is slowed last: higher wins. Above the default it needs the right to `use` the"
        " priority class that the admission policy names.",
        json_schema_extra=INT32,
    )
    slo: Slo | None = Field(default=None, description="Latency objectives.")
    power: Power | None = Field(default=None, description="What the service's GPUs may draw.")
    experts: Loop | None = Field(default=None, description="How the experts' loop treats the service.")
    kv_cache: Loop | None = Field(default=None, description="How the KV memory's loop treats the service.")
    workload_ref: WorkloadRef | None = Field(
        default=None, description="A workload that somebody else owns, to which the loops attach."
    )


class PolicyInForce(Status):
    """Which policy one loop goes by."""

    loop: str = Field(max_length=32, description="The loop: power, experts, kv, phases or sizing.")
    name: str = Field(max_length=253, description="Name of the policy's ConfigMap.")
    hash: str = Field(max_length=64, description="Hash of the document in force.")


class InferenceServiceStatus(Status):
    """How the service stands."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec that was acted on.", json_schema_extra=INT64
    )
    replicas: Count | None = Field(
        default=None, description="Replicas of the main or decode pool that exist."
    )
    ready_replicas: Count | None = Field(
        default=None, description="Replicas of the main or decode pool that are ready."
    )
    selector: str | None = Field(
        default=None, max_length=1024, description="Label selector of the pool's pods, for /scale."
    )
    policies: tuple[PolicyInForce, ...] = Field(
        default=(),
        description="Policies in force, one a loop.",
        json_schema_extra={**list_map("loop"), "maxItems": 8},
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="What is so, why and since when.", json_schema_extra=LISTED_BY_TYPE
    )


class InferenceService(ApiObject[InferenceServiceSpec, InferenceServiceStatus]):
    """A service as the API server hands it out."""

    @property
    def key(self) -> str:
        """`namespace/name`, as reports and journals name services."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


ROOT_RULES: JsonDict = validations(
    rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$')",
        says="'metadata.name is %s: use at most 53 letters, digits and dashes, a letter first, since Services"
        " and labels are named after it'.format([self.metadata.name])",
    )
)
"""Rules that need the object's name: pools append a suffix and 63 characters are the most."""
