"""
What the nodes' agents report of services: capped or not, in time or not, plugin or not.

Only agents can read limits, latencies and engines, so each reports in its NodeCapacity what is
so of the services on its node, and here the nodes are put together. Yes and no only: a
count of nodes would move a status with every pod that moves. The exceptions are the load of
experts, which agents keep for a minute or longer, and the figures of KV memory; `expert_loads` and
`kv_memories` put them together.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from loadline_api.experts import ExpertsStatus
from loadline_api.kv_cache import KvCacheStatus
from loadline_api.node_capacities import NodeCapacity
from loadline_api.reasons import Reason
from loadline_operator.findings import Finding
from loadline_operator.kube.kinds import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A service on one node; None where the agent doesn't know.

    `believed` is False of a node whose agent has told of the service and has fallen silent since.
    """

    believed: bool = True
    capped: bool = False
    slo_met: bool | None = None
    plugin: bool | None = None
    silent_engine: str = ""
    experts: ExpertsStatus | None = None
    kv_cache: KvCacheStatus | None = None


NodeReports = dict[str, NodeReport]
"""What one node tells, by service as `namespace/name`."""


def node_reports(raw: Manifest) -> NodeReports:
    """The fact of a NodeCapacity, as far as services go; InvalidInput where it can't be read."""
    return {
        one.service: NodeReport(
            capped=one.capped,
            slo_met=one.slo_met,
            plugin=one.plugin,
            silent_engine=one.silent_engine or "",
            experts=one.experts,
            kv_cache=one.kv_cache,
        )
        for one in NodeCapacity.parse(raw).status.services
    }


def turned(before: NodeReports, after: NodeReports) -> set[str]:
    """Services of which a node tells something else than before."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def capped(seen: Iterable[NodeReport]) -> Finding:
    """Whether power holds the service back anywhere."""
    seen = tuple(seen)
    told = [one.capped for one in seen if one.believed]
    if any(told):
        return Finding(so=True, reason=Reason.LIMITED)
    if not told or len(told) < len(seen):
        return not_told(seen)
    return Finding(so=False, reason=Reason.UNLIMITED)


def slo_met(seen: Iterable[NodeReport]) -> Finding:
    """Whether the service's latencies are within its objectives wherever they are known."""
    seen = tuple(seen)
    told = [one.slo_met for one in seen if one.believed and one.slo_met is not None]
    if not all(told):
        return Finding(so=False, reason=Reason.OBJECTIVE_MISSED)
    if not all(one.believed for one in seen):
        return not_told(seen)
    return Finding(so=True, reason=Reason.OBJECTIVE_MET) if told else _unmeasured(seen)


def has_plugin(seen: Iterable[NodeReport]) -> bool | None:
    """Whether the engines tell of Loadline's plugin: all that tell do, one doesn't, or none tells."""
    told = [one.plugin for one in seen if one.believed and one.plugin is not None]
    return all(told) if told else None


def _unmeasured(seen: Collection[NodeReport]) -> Finding:
    """Why nobody can say whether objectives are met, though agents may tell of the service."""
    silent = min((one.silent_engine for one in seen if one.silent_engine), default="")
    if silent:
        text = (
            f"an engine serves no metrics: {silent}; for an attached workload, set workloadRef.metrics to the"
            " address at which it serves them"
        )
        return Finding(so=None, reason=Reason.ENGINE_SILENT, text=text)
    if seen:
        text = (
            "its latencies are unknown: the engines had too few requests lately, or an objective lies"
            " within a histogram bucket"
        )
        return Finding(so=None, reason=Reason.NOT_MEASURED, text=text)
    return not_told(seen)


def not_told(seen: Collection[NodeReport]) -> Finding:
    """That what is asked isn't known: no agent reports of the service, or one has stopped to."""
    text = "no agent has reported pods of the service"
    if seen:
        text = "the agent of a node that runs pods of the service has stopped reporting"
    return Finding(so=None, reason=Reason.NOT_TOLD, text=text)
