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
from loadline_api.engines import TLS, Engine, Model
from loadline_api.experts import EXPERTS_RULES, Experts, ExpertsMode, ExpertsStatus
from loadline_api.kv_cache import KV_CACHE_RULES, Admission, KvCache, KvCacheStatus
from loadline_api.kv_retention import Retention
from loadline_api.objectives import PolicyName, Power, Scaling, Slo
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
                message="set exactly one of model and workloadRef: model to have Loadline run the engines,"
                " workloadRef to attach to a workload that exists already",
            ),
            rule(
                "has(self.model) == has(oldSelf.model)",
                message="model and workloadRef cannot replace each other, because their pods have different"
                " owners: delete this InferenceService and create another one",
            ),
            rule(
                "!has(self.workloadRef) || !(has(self.prefill) || has(self.parallelism) || has(self.template)"
                " || has(self.router) || has(self.engine) || has(self.rolloutStrategy))",
                message="Loadline does not create the pods of a workloadRef: remove prefill, parallelism,"
                " template, router, engine and rolloutStrategy, or set model instead of workloadRef",
            ),
            rule(
                "!has(self.workloadRef) || !has(self.kvCache) || self.kvCache.dtype == 'auto'",
                says="'kvCache.dtype is %s, but Loadline does not start the engines of a workloadRef: remove"
                " kvCache.dtype'.format([self.kvCache.dtype])",
                at=".kvCache.dtype",
            ),
            rule(
                "!has(self.prefill) || has(self.router)",
                message="prefill needs a router, which sends each request first to a prefill engine and then"
                " to a decode engine: add router (`router: {}` is enough) or remove prefill",
            ),
            rule(
                f"!has(self.router) || !has(self.engine) || {_SERVES_TLS}.size() == 0",
                says="'engine.arguments has %s, which makes the engine serve HTTPS, but routers connect to"
                " engines by HTTP: remove router, or remove the argument and terminate TLS before the router'"
                f".format([{_SERVES_TLS}[0]])",
                at=".engine.arguments",
            ),
            *SPLIT_RULES,
            *PRODUCT_RULES,
            *EXPERTS_RULES,
            *KV_CACHE_RULES,
        )
    )

    model: Model | None = Field(default=None, description="The model to serve.")
    replicas: Replicas = Field(
        default=1,
        description="Desired replicas of the main or decode pool; /scale sets it. With workloadRef, the"
        " operator copies the workload's own count here until a user or an autoscaler sets it.",
    )
    scaling: Scaling | None = Field(
        default=None,
        description="With workloadRef: the operator sets the workload's replicas to this service's,"
        " within these bounds. With model: no effect in this version.",
    )
    parallelism: Parallelism | None = Field(
        default=None, description="How one replica is spread over GPUs; defaults to one GPU."
    )
    engine: Engine | None = Field(default=None, description="Options of the engine.")
    prefill: Prefill | None = Field(
        default=None,
        description="A separate pool for prefill; without it, the main pool does both prefill and decode.",
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description="Parts of a pod template, merged into the engine's pods by container name; the engine's"
        " container is `vllm`. To set it, you need permission to create Deployments.",
        json_schema_extra=template_schema("the engine's pods"),
    )
    router: Router | None = Field(
        default=None,
        description="The router (vllm-router) in front of the pools; without it, clients reach the engines"
        " through the Service.",
    )
    rollout_strategy: RolloutStrategy | None = Field(
        default=None,
        description="How new pods replace old ones; defaults to maxSurge 1 and maxUnavailable 0.",
    )
    priority: int = Field(
        default=0,
        strict=True,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="When power is short, services of lower priority are capped first. Above the chart's"
        " priority.default you need the RBAC verb `use` on the PriorityClass priority.className.",
        json_schema_extra=INT32,
    )
    slo: Slo | None = Field(default=None, description="Latency objectives.")
    power: Power | None = Field(default=None, description="Power limits of the service's GPUs.")
    experts: Experts | None = Field(default=None, description="Options of the experts loop.")
    kv_cache: KvCache | None = Field(default=None, description="The engine's KV cache.")
    workload_ref: WorkloadRef | None = Field(
        default=None,
        description="An existing workload to attach to, instead of a model to run. To set it, you need"
        " permission to patch that workload.",
    )

    @property
    def experts_mode(self) -> ExpertsMode:
        """How far the plugin may go in the service's engines."""
        return self.experts.mode if self.experts is not None else ExpertsMode.OFF

    @property
    def admission(self) -> Admission:
        """How requests are admitted to the engines' KV memory; as vLLM does if the spec doesn't say."""
        asked = self.kv_cache.admission if self.kv_cache is not None else None
        return asked or Admission()

    @property
    def retention(self) -> Retention:
        """How each request is bounded; not at all if the spec doesn't say."""
        asked = self.kv_cache.retention if self.kv_cache is not None else None
        return asked or Retention()

    @property
    def loops(self) -> dict[Loop, PolicyName | None]:
        """Loops that the spec has a part for, each with the policy that the part names, if it does."""
        parts = {
            Loop.EXPERTS: self.experts,
            Loop.KV: self.kv_cache,
            Loop.KV_RETENTION: self.kv_cache.retention if self.kv_cache is not None else None,
            Loop.PHASES: self.prefill,
            Loop.SIZING: self.scaling,
        }
        return {loop: part.policy_ref for loop, part in parts.items() if part is not None}


class PolicyInForce(Status):
    """Which policy one loop goes by."""

    loop: str = Field(max_length=32, description="The loop: experts, kv, kv-retention, phases or sizing.")
    policy: str = Field(default="", max_length=64, description="The policy that the document names.")
    name: str | None = Field(
        default=None, max_length=253, description="Name of the policy's ConfigMap; absent if built in."
    )
    namespace: str | None = Field(
        default=None, max_length=63, description="Namespace of the ConfigMap; absent if built in."
    )
    hash: str = Field(max_length=64, description="Hash of the document in force.")


class PoolStatus(Status):
    """How one pool stands."""

    name: str = Field(max_length=32, description="The pool: main (or decode), prefill or router.")
    replicas: Count = Field(default=0, description="Replicas that the pool should have.")
    ready_replicas: Count = Field(default=0, description="Replicas that are ready.")
    updated_replicas: Count = Field(default=0, description="Replicas created from the current spec.")


class AttachedWorkload(Status):
    """The workload that `spec.replicas` are about, and whether somebody asks for them."""

    uid: str = Field(
        max_length=128,
        description="UID of the workload; if it changes, the operator copies its count again.",
    )
    replicas: Count | None = Field(
        default=None,
        description="Count that the operator copied from the workload to spec.replicas; absent once a user"
        " or an autoscaler has set spec.replicas.",
    )
    declared: bool | None = Field(
        default=None, description="True if the service's manifest sets spec.replicas."
    )


MOST_SHOWN = 40
"""Bytes of a text in a column of `kubectl get`, which is as wide as its widest row."""


class Shown(Status):
    """Texts for the columns of `kubectl get`, cut so that none widens the table."""

    workload: str | None = Field(
        default=None, max_length=MOST_SHOWN, description="Kind and name of an attached workload."
    )
    model: str | None = Field(
        default=None, max_length=MOST_SHOWN, description="Where the model comes from, if known."
    )


class InferenceServiceStatus(Status):
    """How the service stands."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that this status describes."
    )
    desired_replicas: Count | None = Field(
        default=None,
        description="Replicas that the main or decode pool's workload should have; absent if its kind"
        " doesn't report it.",
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
        " absent if selector matches them all.",
    )
    shown: Shown | None = Field(default=None, description="Texts for the columns of `kubectl get`.")
    workload: AttachedWorkload | None = Field(
        default=None, description="What the operator has noted about the attached workload's replicas."
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
        description="Policies in force, one for each loop.",
        json_schema_extra={**list_map("loop"), "maxItems": 8},
    )
    experts: ExpertsStatus | None = Field(
        default=None, description="How the layers of experts are loaded; absent if no engine reports it."
    )
    kv_cache: KvCacheStatus | None = Field(
        default=None, description="How the KV memory is used; absent if no engine reports it."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Conditions of the service.", json_schema_extra=LISTED_BY_TYPE
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
        says="'metadata.name is %s: use at most 53 lowercase letters, digits and dashes, beginning with a"
        " letter, because Services and labels are named after it'.format([self.metadata.name])",
    ),
    rule(
        "size(self.metadata.name) <= 40 || !((has(self.spec.parallelism) && self.spec.parallelism.nodes > 1)"
        " || (has(self.spec.prefill) && has(self.spec.prefill.parallelism)"
        " && self.spec.prefill.parallelism.nodes > 1))",
        says="'metadata.name is %s: shorten it to 40 characters, because a replica on several nodes is a"
        " StatefulSet, which creates no pods if its name is longer than 52'.format([self.metadata.name])",
    ),
)
"""Rules that need the object's name: pools append a suffix and 63 characters are the most.

A group of nodes is a StatefulSet named after its pool and its index, and the label that
tells its revision is eleven characters longer.
"""
