"""
A workload that somebody else owns, and which kinds of them Loadline can read.

Attaching needs to know where a kind keeps its counts, its health and its pods' labels.
So the kinds are a short list, and any other is refused with it rather than taken and
never understood. The operator has a row for each in its own table.
"""

from enum import StrEnum

from pydantic import ConfigDict, Field

from loadline_api.quantities import Name, Port
from loadline_api.schemas import Spec, rule, validations

ATTACHABLE = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("disaggregatedset.x-k8s.io/v1", "DisaggregatedSet"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("serving.kserve.io/v1alpha2", "LLMInferenceService"),
    ("serving.kserve.io/v1alpha1", "LLMInferenceService"),
)
"""API version and kind of what `workloadRef` may name."""

_KNOWN = " || ".join(
    f"(self.apiVersion == {version!r} && self.kind == {kind!r})" for version, kind in ATTACHABLE
)
_NAMED = ", ".join(f"{kind} ({version})" for version, kind in ATTACHABLE)


class MetricsScheme(StrEnum):
    """How an engine is asked: by HTTP, or by TLS whatever its certificate says."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class MetricsEndpoint(Spec):
    """Where the workload's engines answer with their metrics, as far as their pods don't tell it."""

    port: Port | None = Field(
        default=None,
        description="Port of the pod; defaults to the annotation prometheus.io/port, else --port, else the"
        " container port named http, else a probe's port, else the only port, else 8000 (SGLang: 30000).",
    )
    scheme: MetricsScheme | None = Field(
        default=None,
        description="HTTP, or HTTPS without verifying the certificate; defaults to the annotation"
        " prometheus.io/scheme, else to HTTPS if the engine has --ssl-certfile or an HTTPS probe.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        pattern=r"^/[\x21-\x7e]*$",
        description="Path; defaults to the annotation prometheus.io/path, else to /metrics.",
    )


class WorkloadRef(Spec):
    """A workload that somebody else owns."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                _KNOWN,
                says=f"'workloadRef names %s of %s, which Loadline cannot read: name one of {_NAMED}'"
                ".format([self.kind, self.apiVersion])",
            ),
            rule(
                "!has(self.role) || self.kind == 'DisaggregatedSet'",
                says="'workloadRef.role is %s, but a %s has no roles: remove role'"
                ".format([self.role, self.kind])",
                at=".role",
            ),
        )
    )

    api_version: str = Field(
        min_length=1, max_length=317, description="Group and version of the workload, as in its manifest."
    )
    kind: str = Field(
        min_length=1,
        max_length=63,
        description="Kind of the workload: Deployment, StatefulSet, LeaderWorkerSet, DisaggregatedSet, or"
        " KServe's InferenceService or LLMInferenceService.",
    )
    name: Name = Field(description="Name of the workload in the service's namespace.")
    role: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Role of a DisaggregatedSet whose replicas this service has; defaults to decode.",
    )
    metrics: MetricsEndpoint | None = Field(
        default=None,
        description="Where the workload's engines (vLLM or SGLang) serve their metrics; what is unset is"
        " taken from their pods.",
    )
