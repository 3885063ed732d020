"""
NodeCapacity: what one node's agent says of its node, and how peers know it.

The spec is the agent's identity: the certificate that the domain's members trust and
the address where it listens. The status holds slow facts only: GPUs, what can be set
on them, what is set. Fast series go to Prometheus, epochs and sequences to nobody, and
what stands here of limits never counts for S2.

The object's name is the node's; an admission policy lets only that node's agent write.
"""

from enum import StrEnum

from pydantic import Field
from pydantic.config import JsonDict

from loadline_api.conditions import LISTED_BY_TYPE, Condition
from loadline_api.experts import ExpertsStatus
from loadline_api.kv_cache import KvCacheStatus
from loadline_api.quantities import Count, GpuWatts, HostWattage, RefreshSeconds
from loadline_api.schemas import ApiObject, Spec, Status, list_map
from loadline_policies.power.protocol.bounds import GPUS

MAX_SERVICES = 128

MOST_OF_SILENT = 1024
"""Characters of the sentence on an engine that gives no figures."""

CERTIFICATE_PATTERN = r"^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n?$"
ADDRESS_PATTERN = r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):[0-9]{1,5}$"


class NodeCapacitySpec(Spec):
    """How the node's agent is known and where it is reached."""

    certificate: str = Field(
        max_length=8192,
        pattern=CERTIFICATE_PATTERN,
        description="Self-signed certificate of the agent, in PEM; the agents of its domain accept this one"
        " only.",
    )
    address: str = Field(
        max_length=260,
        pattern=ADDRESS_PATTERN,
        description="Where the agent listens for the agents of its domain: host:port, an IPv6 host in"
        " brackets.",
    )


class PersistenceMode(StrEnum):
    """Whether the driver keeps a GPU's limits while nobody has it open; Unknown where it doesn't tell."""

    ON = "On"
    OFF = "Off"
    UNKNOWN = "Unknown"


class Gpu(Status):
    """One GPU: what can be set and what is set."""

    uuid: str = Field(min_length=1, max_length=96, description="UUID of the GPU, as NVML reports it.")
    name: str = Field(default="", max_length=96, description="Product name.")
    min_watts: GpuWatts | None = Field(default=None, description="Lowest power limit that can be set.")
    max_watts: GpuWatts | None = Field(default=None, description="Highest power limit that can be set.")
    enforced_watts: GpuWatts | None = Field(default=None, description="Power limit in force, read back.")
    clock_cap_mhz: Count | None = Field(
        default=None, description="Upper end of the SM clock lock, in MHz; absent if unlocked."
    )
    persistence_mode: PersistenceMode | None = Field(
        default=None,
        description="Whether the driver keeps limits while no client has the GPU open; Unknown if the driver"
        " doesn't report it, absent from older agents.",
    )
    module_limit_watts: GpuWatts | None = Field(
        default=None,
        description="Power limit in force of the module that the GPU shares with a Grace CPU; Loadline never"
        " sets it. Absent if the driver reports none.",
    )


class ServiceOnNode(Status):
    """One service's part of the node, as facts that seldom turn; figures go to Prometheus."""

    service: str = Field(min_length=1, max_length=317, description="The service, as namespace/name.")
    pods: Count = Field(default=0, description="Pods of the service on the node that use GPUs.")
    gpus: Count = Field(default=0, description="GPUs that these pods use.")
    capped: bool = Field(
        default=False,
        description="Whether a power limit or clock lock below the maximum applies to one of them.",
    )
    slo_met: bool | None = Field(
        default=None, description="Whether its latencies here meet its objectives; absent if unknown."
    )
    plugin: bool | None = Field(
        default=None, description="Whether its engines report Loadline's plugin; absent if unknown."
    )
    silent_engine: str | None = Field(
        default=None,
        max_length=MOST_OF_SILENT,
        description="An engine of the service here that serves no metrics: its pod, the address that was"
        " asked, and the fault; absent if all serve them.",
    )
    experts: ExpertsStatus | None = Field(
        default=None,
        description="How the layers of experts are loaded in its engines here; absent if none reports it.",
    )
    kv_cache: KvCacheStatus | None = Field(
        default=None,
        description="How the KV memory of its engines here is used; absent if none reports it.",
    )


class NodeCapacityStatus(Status):
    """What the node's agent has found and what it holds."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec when this status was written."
    )
    observed_time: str | None = Field(
        default=None,
        description="When the agent last refreshed this status.",
        json_schema_extra={"format": "date-time"},
    )
    refresh_seconds: RefreshSeconds | None = Field(
        default=None,
        description="The agent refreshes this status within this many seconds; after three times as many"
        " without a refresh, the operator sets its conditions to Unknown, all but Enforcing.",
    )
    domain: str | None = Field(
        default=None, max_length=253, description="PowerDomain that the node belongs to."
    )
    wire_version: Count | None = Field(
        default=None,
        description="Version of the messages that the agent exchanges with other agents; absent before 2.",
    )
    host_max_watts: HostWattage | None = Field(
        default=None, description="Most watts that the server draws without its GPUs."
    )
    gpus: tuple[Gpu, ...] = Field(
        default=(),
        description="GPUs of the node, sorted by UUID.",
        json_schema_extra={**list_map("uuid"), "maxItems": GPUS[1]},
    )
    services: tuple[ServiceOnNode, ...] = Field(
        default=(),
        description="Services with pods on the node, sorted by name.",
        json_schema_extra={**list_map("service"), "maxItems": MAX_SERVICES},
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Conditions of the node.",
        json_schema_extra=LISTED_BY_TYPE,
    )


class NodeCapacity(ApiObject[NodeCapacitySpec, NodeCapacityStatus]):
    """A node's capacity as the API server hands it out."""


ROOT_RULES: JsonDict = {}
"""No rule needs the object's name: admission compares it with the writer's token."""
