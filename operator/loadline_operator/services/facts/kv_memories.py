"""
How a service's KV memory is used, put together from what the agents of its nodes report.

Nodes whose agents have fallen silent are left out here; the conditions report that they are. What stands in
the status stays, unless the reports differ from it in more than small moves of figures: else each report of
each node would be a write.
"""

from collections.abc import Iterable

from loadline_api.kv_cache import KvCacheStatus
from loadline_operator.services.facts import admission_counts, retention_counts
from loadline_operator.services.facts.node_reports import NodeReport


def put_together(seen: Iterable[NodeReport], before: KvCacheStatus | None = None) -> KvCacheStatus | None:
    """What all nodes report whose agents are believed; None if none of them reports anything of it."""
    nodes = [one.kv_cache for one in seen if one.believed and one.kv_cache is not None]
    before = before or KvCacheStatus()
    admission = admission_counts.put_together([one.admission for one in nodes if one.admission is not None])
    retention = retention_counts.put_together([one.retention for one in nodes if one.retention is not None])
    if admission is None and retention is None:
        return None
    return KvCacheStatus(
        admission=admission.as_moved_from(before.admission) if admission is not None else None,
        retention=retention.as_moved_from(before.retention) if retention is not None else None,
    )
