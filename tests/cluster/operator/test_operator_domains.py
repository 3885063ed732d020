"""PowerDomains are checked against what there is, and get a Lease with candidates."""

from collections.abc import Callable
from typing import Any

import pytest

from loadline_api import names
from testbed.api_callers import caller, eventually
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

Status = Callable[[str], dict[str, Any]]
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{names.SYSTEM_NAMESPACE}/leases"


def says(status: Status, domain: str, type: str, *, reason: str, so: str) -> None:
    found = status(domain)["conditions"].get(type, {})
    assert (found.get("reason"), found.get("status")) == (reason, so), found


def test_a_row_is_accepted_once_all_agents_have_told(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("told")
    nodes = one.add(7)
    harbour.apply([one.domain(budget=36_000)])
    eventually(lambda: says(status, "told", "Accepted", reason="CapacityUnknown", so="Unknown"))
    one.tell(nodes[:6])
    eventually(lambda: _candidates(status, nodes[:5]))
    says(status, "told", "Accepted", reason="CapacityUnknown", so="Unknown")
    one.tell(nodes[6:])
    eventually(lambda: says(status, "told", "Accepted", reason="SafeFits", so="True"))
    found = status("told")
    assert found["members"] == nodes
    assert found["candidates"] == nodes[:5]
    assert found["safeWatts"] <= 36_000 < found["maxWatts"] == 7 * 5960
    assert found["toleratesSilentNodes"] >= 1
    says(status, "told", "Enforceable", reason="ReactionInTime", so="True")
    says(status, "told", "SelectorTrusted", reason="LabelRestricted", so="True")


def test_the_lease_is_its_holders(harbour: Bed, row: Callable[[str], Any], status: Status) -> None:
    one = row("led")
    nodes = one.add(6)
    one.tell(nodes)
    harbour.apply([one.domain(budget=36_000)])
    eventually(lambda: _candidates(status, nodes[:5], "led"))
    lease = harbour.client.get(f"{LEASES}/loadline-led")
    assert lease["metadata"]["annotations"][names.CANDIDATES_ANNOTATION] == ",".join(nodes[:5])
    assert lease["metadata"]["ownerReferences"][0]["kind"] == "PowerDomain"
    holder = caller(harbour, names.AGENT_ACCOUNT, node=nodes[4])
    held = {**lease, "spec": {"holderIdentity": nodes[4], "leaseTransitions": 1}}
    holder.send("PUT", f"{LEASES}/loadline-led", body=held)
    holder.http.close()
    harbour.client.delete(f"/api/v1/nodes/{nodes[0]}")
    eventually(lambda: _candidates(status, nodes[1:6], "led"))
    after = harbour.client.get(f"{LEASES}/loadline-led")
    assert after["spec"] == held["spec"]
    assert after["metadata"]["uid"] == lease["metadata"]["uid"]


def test_a_lease_that_somebody_deletes_comes_back(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("lost")
    one.tell(one.add(2))
    harbour.apply([one.domain(budget=12_000)])
    eventually(lambda: _candidates(status, ["lost-0", "lost-1"], "lost"))
    before = harbour.client.get(f"{LEASES}/loadline-lost")["metadata"]["uid"]
    harbour.client.delete(f"{LEASES}/loadline-lost")
    eventually(lambda: _differs(harbour.client.get(f"{LEASES}/loadline-lost")["metadata"]["uid"], before))


def has_events(bed: Bed, domain: str, reasons: list[str]) -> None:
    """An Event follows the status that it is about."""
    selected = f"involvedObject.name={domain}"
    events = bed.client.get("/api/v1/namespaces/default/events", fieldSelector=selected)["items"]
    assert [one["reason"] for one in events] == reasons


def test_a_budget_that_is_too_small_is_refused_with_an_event(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("small")
    one.tell(one.add(2))
    harbour.apply([one.domain(budget=6_000)])
    eventually(lambda: says(status, "small", "Accepted", reason="BudgetTooSmall", so="False"))
    assert "raise it or take nodes out" in status("small")["conditions"]["Accepted"]["message"]
    eventually(lambda: has_events(harbour, "small", ["BudgetTooSmall"]))
    harbour.apply([one.domain(budget=12_000)])
    eventually(lambda: says(status, "small", "Accepted", reason="SafeFits", so="True"))


def test_a_curve_that_reaction_cannot_meet_is_refused(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("slow")
    one.tell(one.add(2))
    harbour.apply([one.domain(budget=9_500, leaseSeconds=30)])
    eventually(lambda: says(status, "slow", "Enforceable", reason="ReactionTooSlow", so="False"))
    says(status, "slow", "Accepted", reason="SafeFits", so="True")


def test_ancestors_overlaps_and_lost_parents_are_told(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("twice")
    one.tell(one.add(1))
    a, b = one.domain(budget=9_000, name="loop-a"), one.domain(budget=9_000, name="loop-b")
    a["spec"]["parent"], b["spec"]["parent"] = "loop-b", "loop-a"
    harbour.apply([a, b, one.domain(budget=9_000, name="orphan", parent="nobody")])
    eventually(lambda: says(status, "loop-a", "Accepted", reason="OwnAncestor", so="False"))
    eventually(lambda: says(status, "orphan", "Accepted", reason="ParentMissing", so="False"))
    for name in ("loop-a", "loop-b"):
        harbour.client.delete(names.POWER_DOMAINS.path(name))
    harbour.apply([one.domain(budget=9_000, name="rival")])
    harbour.apply([one.domain(budget=9_000, name="orphan")])
    harbour.client.patch(names.POWER_DOMAINS.path("orphan"), {"spec": {"parent": None}})
    eventually(lambda: says(status, "rival", "Accepted", reason="NodeClaimedTwice", so="False"))
    eventually(lambda: says(status, "orphan", "Accepted", reason="SafeFits", so="True"))


def test_children_that_exceed_their_parent_are_told(
    harbour: Bed, row: Callable[[str], Any], status: Status
) -> None:
    one = row("child")
    one.tell(one.add(2))
    site: Object = {"metadata": {"name": "site"}, "spec": {"budgetWatts": 11_000}}
    head = {"apiVersion": names.API_VERSION, "kind": "PowerDomain"}
    harbour.apply([{**head, **site}, one.domain(budget=12_000, parent="site")])
    eventually(lambda: says(status, "site", "Accepted", reason="BudgetTooSmall", so="False"))
    harbour.client.patch(names.POWER_DOMAINS.path("site"), {"spec": {"budgetWatts": 12_000}})
    eventually(lambda: says(status, "site", "Accepted", reason="AsDeclared", so="True"))
    assert "leaseName" not in status("site")


def test_a_label_that_kubelets_may_change_is_warned_of(harbour: Bed, status: Status) -> None:
    spec = {"budgetWatts": 9_000, "nodeSelector": {"matchLabels": {"rack": "7"}}, "hostWatts": {"max": 2600}}
    head = {"apiVersion": names.API_VERSION, "kind": "PowerDomain"}
    harbour.apply([{**head, "metadata": {"name": "loose"}, "spec": spec}])
    eventually(lambda: says(status, "loose", "SelectorTrusted", reason="LabelUnrestricted", so="False"))
    eventually(lambda: says(status, "loose", "Accepted", reason="NoMembers", so="False"))


def _candidates(status: Status, wanted: list[str], domain: str = "told") -> None:
    assert status(domain).get("candidates") == wanted


def _differs(found: str, before: str) -> None:
    assert found != before
