"""
InferenceService: a model to serve, how many replicas of it, and what it may cost.

`replicas` is always the desired count of the main (or decode) pool and is what `/scale`
moves; `scaling` gives bounds to Loadline's own sizing loop. Instead of a model,
`workloadRef` attaches the loops to a workload that somebody else owns. How the pods run
is in `pools`, what the service is promised in `objectives`.

`priority` orders who is slowed first; above the namespace's default it needs a right,
which an admission policy checks. The operator materialises the service, the agents
read priority, objectives and watts.
"""

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from loadline_api.conditions import LISTED_BY_TYPE, Condition
from loadline_api.engine_options import forms
from loadline_api.engines import TLS, Engine, KvCache, Model
from loadline_api.objectives import Experts, PolicyName, Power, Scaling, Slo
from loadline_api.pools import Parallelism, Prefill, RolloutStrategy, Router
from loadline_api.products import PRODUCT_RULES
from loadline_api.quantities import INT32, Count, Replicas
from loadline_api.removals import template_schema
from loadline_api.schemas import ApiObject, Spec, Status, list_map, rule, validations
from loadline_api.splits import SPLIT_RULES
from loadline_api.workload_refs import WorkloadRef
from loadline_policies.loops import Loop

MAX_PRIORITY = 1000

_SERVES_TLS = f"self.engine.arguments.filter(a, a.matches('{forms(TLS)}'))"

MOST_TEXT = 1024
"""Characters of a selector or a URL in the status."""


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
                "has(self.model) == has(oldSelf.model)",
                message="model and workloadRef cannot take each other's place, since what runs for the one is"
                " nothing to the other: delete this service and make another",
            ),
            rule(
                "!has(self.workloadRef) || !(has(self.prefill) || has(self.parallelism) || has(self.template)"
                " || has(self.router) || has(self.engine) || has(self.rolloutStrategy))",
                message="workloadRef names a workload that somebody else shapes: remove prefill, parallelism,"
                " template, router, engine and rolloutStrategy, or give model instead",
            ),
            rule(
                "!has(self.workloadRef) || !has(self.kvCache) || self.kvCache.dtype == 'auto'",
                says="'kvCache.dtype is %s, but workloadRef names an engine of somebody else: remove it'"
                ".format([self.kvCache.dtype])",
                at=".kvCache.dtype",
            ),
            rule(
                "!has(self.prefill) || has(self.router)",
                message="prefill splits requests in two, which needs somebody to send both halves: add router"
                " (`router: {}` will do) or leave prefill out",
            ),
            rule(
                f"!has(self.router) || !has(self.engine) || {_SERVES_TLS}.size() == 0",
                says="'engine.arguments has %s, by which the engine serves TLS, and routers ask engines by"
                " HTTP: leave router out, or remove it and end TLS before the router'"
                f".format([{_SERVES_TLS}[0]])",
                at=".engine.arguments",
            ),
            *SPLIT_RULES,
            *PRODUCT_RULES,
        )
    )

    model: Model | None = Field(default=None, description="What is served.")
    replicas: Replicas = Field(
        default=1,
        description="Desired replicas of the main or decode pool; /scale moves it. With workloadRef: until"
        " somebody sets it, the count that the workload has.",
    )
    scaling: Scaling | None = Field(
        default=None,
        description="Bounds of the sizing loop, which then moves replicas; leave it out under an HPA. With"
        " workloadRef: the bounds in which the workload's replicas follow this service's.",
    )
    parallelism: Parallelism | None = Field(
        default=None, description="How one replica is spread over GPUs; left out: one GPU."
    )
    engine: Engine | None = Field(default=None, description="What the engine is started with.")
    prefill: Prefill | None = Field(
        default=None, description="A pool of its own for prefill; left out: one mixed pool."
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Parts of a pod template, merged into the engine's pods by container name; the engine's"
        " container is `vllm`. It takes the right to create Deployments.",
        json_schema_extra=template_schema("the engine's pods"),
    )
    router: Router | None = Field(
        default=None, description="The proxy in front of the pools; left out: a Service only."
    )
    rollout_strategy: RolloutStrategy | None = Field(
        default=None, description="How new pods replace old ones; left out: one more, none less."
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
    experts: Experts | None = Field(default=None, description="How the experts' loop treats the service.")
    kv_cache: KvCache | None = Field(default=None, description="The memory of keys and values.")
    workload_ref: WorkloadRef | None = Field(
        default=None,
        description="A workload that somebody else owns, to which the loops attach; it takes the right to"
        " patch it.",
    )

    @property
    def loops(self) -> dict[Loop, PolicyName | None]:
        """Loops that the spec has a part for, each with the policy that the part names, if it does."""
        parts = {
            Loop.EXPERTS: self.experts,
            Loop.KV: self.kv_cache,
            Loop.PHASES: self.prefill,
            Loop.SIZING: self.scaling,
        }
        return {loop: part.policy_ref for loop, part in parts.items() if part is not None}


class PolicyInForce(Status):
    """Which policy one loop goes by."""

    loop: str = Field(max_length=32, description="The loop: experts, kv, phases or sizing.")
    policy: str = Field(default="", max_length=64, description="The policy that the document names.")
    name: str | None = Field(
        default=None, max_length=253, description="Name of the policy's ConfigMap; left out: it is built in."
    )
    namespace: str | None = Field(
        default=None, max_length=63, description="Namespace of the ConfigMap; left out: it is built in."
    )
    hash: str = Field(max_length=64, description="Hash of the document in force.")


class PoolStatus(Status):
    """How one pool stands."""

    name: str = Field(max_length=32, description="The pool: main (or decode), prefill or router.")
    replicas: Count = Field(default=0, description="Replicas that were asked for.")
    ready_replicas: Count = Field(default=0, description="Replicas that are ready.")
    updated_replicas: Count = Field(default=0, description="Replicas that are as the spec says now.")


class AttachedWorkload(Status):
    """The workload that `spec.replicas` are about, and whether somebody asks for them."""

    uid: str = Field(max_length=128, description="Its uid; another object's count is taken over anew.")
    replicas: Count | None = Field(
        default=None,
        description="The count that replicas took over from it, while nobody has asked for another; left out:"
        " replicas are what somebody asks for.",
    )
    declared: bool | None = Field(
        default=None, description="True where replicas are in the service's own manifest."
    )


MOST_SHOWN = 40
"""Bytes of a text in a column of `kubectl get`, which is as wide as its widest row."""


class Shown(Status):
    """Texts for the columns of `kubectl get`, cut so that none widens the table."""

    workload: str | None = Field(
        default=None, max_length=MOST_SHOWN, description="Kind and name of an attached workload."
    )
    model: str | None = Field(
        default=None, max_length=MOST_SHOWN, description="Where the model comes from, as far as it is told."
    )


class InferenceServiceStatus(Status):
    """How the service stands."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that was acted on."
    )
    desired_replicas: Count | None = Field(
        default=None,
        description="Replicas that the main or decode pool's workload is asked for; left out where its kind"
        " doesn't tell.",
    )
    replicas: Count | None = Field(
        default=None, description="Replicas of the main or decode pool that exist."
    )
    ready_replicas: Count | None = Field(
        default=None, description="Replicas of the main or decode pool that are ready."
    )
    selector: str | None = Field(
        default=None, max_length=MOST_TEXT, description="Label selector of the pool's pods, for /scale."
    )
    pod_selector: str | None = Field(
        default=None,
        max_length=MOST_TEXT,
        description="Label selector of all pods of an attached workload whose replicas are groups of pods;"
        " left out where selector finds them all.",
    )
    shown: Shown | None = Field(default=None, description="Texts for the columns of `kubectl get`.")
    workload: AttachedWorkload | None = Field(
        default=None, description="The attached workload, and whether its replicas follow this service's."
    )
    url: str | None = Field(
        default=None, max_length=MOST_TEXT, description="Where clients in the cluster send their requests."
    )
    pools: tuple[PoolStatus, ...] = Field(
        default=(),
        description="Pools that the service is made of.",
        json_schema_extra={**list_map("name"), "maxItems": 8},
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
    ),
    rule(
        "size(self.metadata.name) <= 40 || !((has(self.spec.parallelism) && self.spec.parallelism.nodes > 1)"
        " || (has(self.spec.prefill) && has(self.spec.prefill.parallelism)"
        " && self.spec.prefill.parallelism.nodes > 1))",
        says="'metadata.name is %s: shorten it to 40 characters, since a replica of several nodes is a"
        " StatefulSet, which makes no pods under a name above 52'.format([self.metadata.name])",
    ),
)
"""Rules that need the object's name: pools append a suffix and 63 characters are the most.

A group of nodes is a StatefulSet named after its pool and its index, and the label that
tells its revision is eleven characters longer.
"""
