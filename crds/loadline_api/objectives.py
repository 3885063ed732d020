"""
What a service is promised and what it may cost: latencies, watts, policies, bounds.

Nothing here shapes a pod. The loops read these, so a change of them never restarts
anything.
"""

from pydantic import ConfigDict, Field

from loadline_api.names import default_policy
from loadline_api.quantities import INT32, GpuWatts, Milliseconds, Name, Replicas, SomeReplicas
from loadline_api.schemas import Spec, rule, validations
from loadline_policies.loops import Loop


class PolicyName(Spec):
    """A policy ConfigMap, by name."""

    name: Name = Field(
        description="Name of the ConfigMap, looked up in the service's namespace, if the chart's"
        " policyNamespaces lists that, and then in Loadline's."
    )


def policy_of(loop: Loop) -> PolicyName | None:
    """The field by which a part of a service chooses its loop's policy."""
    text = (
        f"Policy of the {loop} loop; defaults to ConfigMap `{default_policy(loop)}`, else to the built-in"
        " one."
    )
    field: PolicyName | None = Field(default=None, description=text)
    return field


class Scaling(Spec):
    """Bounds of the sizing loop."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.minReplicas <= self.maxReplicas",
                says="'scaling.minReplicas is %d, above scaling.maxReplicas (%d): lower minReplicas or raise"
                " maxReplicas'.format([self.minReplicas, self.maxReplicas])",
            )
        )
    )

    min_replicas: Replicas = Field(default=1, description="Lower bound of the replicas.")
    max_replicas: SomeReplicas = Field(description="Upper bound of the replicas.")
    policy_ref: PolicyName | None = policy_of(Loop.SIZING)


class Slo(Spec):
    """Latency objectives."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.ttftMs) || has(self.itlMs)",
                message="slo sets no objective: set slo.ttftMs, slo.itlMs or both",
            ),
            rule(
                "!has(self.ttftMs) || !has(self.itlMs) || self.ttftMs >= self.itlMs",
                says="'slo.ttftMs is %d, below slo.itlMs (%d), but the first token takes at least as long as"
                " a later one: raise ttftMs or lower itlMs'.format([self.ttftMs, self.itlMs])",
            ),
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
        description="Percentile of the measured latencies that is compared with the objectives.",
        json_schema_extra=INT32,
    )


class Power(Spec):
    """What the service's GPUs may draw."""

    max_watts: GpuWatts | None = Field(
        default=None,
        description="Highest power limit of each GPU that the service runs on, even if the budget allows"
        " more.",
    )
