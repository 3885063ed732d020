"""What people are told of the row: the statuses of its domains and nodes, as anybody may read them."""

from dataclasses import dataclass
from datetime import datetime

from loadline_api import names
from loadline_api.conditions import Condition, ConditionType, find
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from testbed.cluster.clients import Client

LEASE = names.LEASES.path(names.lease_name("row"), namespace=names.SYSTEM_NAMESPACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One second's statuses. `holder` is whom the Kubernetes Lease names, renewed at `renewed_s` (epoch)."""

    domains: dict[str, PowerDomain]
    nodes: dict[str, NodeCapacity]
    holder: str
    renewed_s: float

    def of_domain(self, name: str, type: ConditionType) -> Condition | None:
        """A condition of a domain, if somebody reported it."""
        return find(self.domains[name].status.conditions, type) if name in self.domains else None

    def of_node(self, name: str, type: ConditionType) -> Condition | None:
        """A condition of a node, if somebody reported it."""
        return find(self.nodes[name].status.conditions, type) if name in self.nodes else None


def read(client: Client) -> Said:
    """All of it, by three requests."""
    domains = client.get(names.POWER_DOMAINS.path())["items"]
    nodes = client.get(names.NODE_CAPACITIES.path())["items"]
    lease = client.get(LEASE)["spec"]
    return Said(
        domains={raw["metadata"]["name"]: PowerDomain.parse(raw) for raw in domains},
        nodes={raw["metadata"]["name"]: NodeCapacity.parse(raw) for raw in nodes},
        holder=lease.get("holderIdentity") or "",
        renewed_s=epoch_s(lease["renewTime"]) if lease.get("renewTime") else 0.0,
    )


def epoch_s(text: str) -> float:
    """Seconds since 1970 of a time as the API writes it."""
    return datetime.fromisoformat(text).timestamp()
