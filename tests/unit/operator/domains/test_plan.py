"""What a power domain gets written, and what its conditions say."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.conditions import Condition, ConditionType, find
from loadline_api.names import API_VERSION, HOST_MAX_WATTS_LABEL
from loadline_operator.domains import facts
from loadline_operator.domains.plan import Changes, Observed, plan
from loadline_operator.kube.kinds import Manifest
from loadline_operator.policies.documents import Document
from loadline_policies.loops import Loop
from loadline_policies.power.protocol.bounds import LEASE_SECONDS
from testbed.agent_specs import agent_spec

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD = Document(loop=Loop.POWER, good_hash="0123456789ab", policy="polca", fault=None)

ROW = "node-restriction.kubernetes.io/row"
CURVE = [{"percent": 105}, {"percent": 108, "seconds": 60}, {"percent": 130, "seconds": 40}]


def domain(
    name: str = "row-a",
    *,
    budget: int = 243_200,
    labels: dict[str, str] | None = None,
    parent: str | None = None,
    status: Manifest | None = None,
    created: str = "",
    **spec: Any,
) -> facts.Domain:
    """A power domain; without `labels` it selects the row of its own name, with {} no node at all."""
    chosen = {ROW: name} if labels is None else labels
    nodes = {"nodeSelector": {"matchLabels": chosen}, "hostWatts": {"max": 2600}} if chosen else {}
    whole = {"budgetWatts": budget, "breaker": {"curve": CURVE}, **nodes, **spec}
    if parent is not None:
        whole["parent"] = parent
    return facts.domain(
        {
            "apiVersion": API_VERSION,
            "kind": "PowerDomain",
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "generation": 3,
                "creationTimestamp": created,
            },
            "spec": whole,
            "status": status or {},
        }
    )


def nodes(count: int, *, row: str = "row-a", ready: bool = True) -> tuple[facts.Node, ...]:
    """Nodes of one row."""
    return tuple(
        facts.Node(name=f"{row}-{index:02d}", labels={ROW: row}, ready=ready) for index in range(count)
    )


def labelled(count: int, watts: str, *, labelled: int) -> tuple[facts.Node, ...]:
    """Nodes of one row, so many of which say by a label what their hosts draw at most."""
    own = {HOST_MAX_WATTS_LABEL: watts}
    return tuple(
        replace(node, labels=node.labels | (own if index < labelled else {}))
        for index, node in enumerate(nodes(count))
    )


def capacity(
    node: str,
    *,
    gpus: int = 8,
    told: bool = True,
    settable: bool = True,
    stale: bool = False,
    armed_for: str | None = None,
    rangeless: int = 0,
) -> facts.Capacity:
    """The capacity of a server with A100-like GPUs of 100 to 400 W, so many without a range."""
    ratings = [
        {"uuid": f"{node}-{i}", "minWatts": 100 if i >= rangeless else 400, "maxWatts": 400}
        for i in range(gpus)
    ]
    may = {"type": "LimitsSettable", "status": str(settable), "reason": "Writable"}
    may |= {"status": "False", "reason": "NoGpus"} if gpus == 0 else {}
    may |= {"status": "False", "reason": "RangeUnknown"} if rangeless else {}
    may |= {"status": "Unknown", "reason": "NotRefreshed"} if stale else {}
    obeys = {"type": "Enforcing", "status": str(armed_for is not None), "reason": "ModeEnforce"}
    return facts.capacity(
        {
            "metadata": {"name": node},
            "spec": agent_spec(),
            "status": {"domain": armed_for, "gpus": ratings, "conditions": [may, obeys]} if told else {},
        }
    )


def seen(
    *domains: facts.Domain,
    members: tuple[facts.Node, ...] | None = None,
    untold: Iterable[str] = (),
    armed_for: str | None = None,
    document: Document | None = GOOD,
    lease: facts.DomainLease | None = None,
) -> Observed:
    """What is observed of a domain: by default 52 servers that have all told their capacity."""
    row = nodes(52) if members is None else members
    return Observed(
        system_namespace="loadline-system",
        domains=domains,
        nodes=row,
        capacities={n.name: capacity(n.name, armed_for=armed_for) for n in row if n.name not in set(untold)},
        lease=lease,
        document=document,
    )


def said(changes: Changes, type: ConditionType) -> Condition:
    assert changes.wanted is not None
    found = find(changes.wanted.conditions, type)
    assert found is not None
    return found


def verdict(changes: Changes, type: ConditionType = ConditionType.ACCEPTED) -> tuple[str, str]:
    one = said(changes, type)
    return one.status, one.reason


def applied(domain: facts.Domain, changes: Changes, observed: Observed) -> tuple[facts.Domain, Observed]:
    """The domain and what is observed once the changes are in force."""
    after = replace(domain, status=changes.wanted) if changes.wanted is not None else domain
    lease = facts.lease(changes.lease) if changes.lease is not None else observed.lease
    others = tuple(after if one.name == after.name else one for one in observed.domains)
    return after, replace(observed, lease=lease, domains=others)


def test_the_row_of_the_demo_is_accepted() -> None:
    changes = plan(domain(), seen(domain()), now=NOON)
    assert verdict(changes) == ("True", "SafeFits")
    assert verdict(changes, ConditionType.ENFORCEABLE) == ("True", "ReactionInTime")
    status = changes.wanted
    assert status is not None
    assert status.safe_watts == 243_090  # 52 x (2600 + 8 x 1.05 x 247 W), rounded up
    assert status.max_watts == 52 * 5960
    assert status.reaction_milliseconds == 6850
    assert 20_000 < (status.trip_milliseconds or 0) < 23_000
    assert status.tolerates_silent_nodes == 9
    assert status.policy_hash == GOOD.good_hash


def test_nothing_is_written_when_all_is_as_it_should_be() -> None:
    start, observed = domain(), seen(domain())
    changes = plan(start, observed, now=NOON)
    after, settled = applied(start, changes, observed)
    assert not plan(after, settled, now=NOON + timedelta(hours=1))


@given(
    budget=st.integers(10_000, 400_000),
    count=st.integers(0, 12),
    untold=st.sets(st.integers(0, 11)),
    lease_s=st.integers(*LEASE_SECONDS),
    holder=st.integers(0, 12),
    valid=st.booleans(),
    parent=st.sampled_from([None, "row-a", "site", "nowhere"]),
)
def test_planning_its_own_result_gives_nothing(
    budget: int, count: int, untold: set[int], lease_s: int, holder: int, valid: bool, parent: str | None
) -> None:
    row = nodes(count)
    start = domain(budget=budget, leaseSeconds=lease_s, parent=parent)
    site = domain("site", labels={}, budget=300_000)
    broken = Document(
        loop=Loop.POWER, good_hash=None, policy=None, fault="threshold1Percent is 'x': give a whole number"
    )
    held = facts.DomainLease(
        domain="row-a", owner_uid="uid-row-a", candidates=("row-a-00",), holder=f"row-a-{holder:02d}"
    )
    observed = Observed(
        system_namespace="s",
        domains=(site, start),
        nodes=row,
        capacities={n.name: capacity(n.name) for i, n in enumerate(row) if i not in untold},
        lease=held,
        document=GOOD if valid else broken,
    )
    changes = plan(start, observed, now=NOON)
    after, settled = applied(start, changes, observed)
    settled = replace(settled, lease=replace(settled.lease or held, holder=held.holder))
    again = plan(after, settled, now=NOON + timedelta(days=1))
    assert not again
    assert not again.events


def test_a_transition_time_stays_while_the_status_does() -> None:
    start = domain()
    changes = plan(start, seen(start), now=NOON)
    after, _ = applied(start, changes, seen(start))
    later = plan(after, seen(after, document=None), now=NOON + timedelta(hours=1))
    assert said(later, ConditionType.ACCEPTED).last_transition_time == "2026-01-01T12:00:00Z"
    assert said(later, ConditionType.POLICY_VALID).last_transition_time == "2026-01-01T13:00:00Z"


def test_a_budget_below_hosts_and_lowest_limits_is_refused() -> None:
    small = domain(budget=52 * 3440 - 1)
    changes = plan(small, seen(small), now=NOON)
    assert verdict(changes) == ("False", "BudgetTooSmall")
    assert verdict(changes, ConditionType.ENFORCEABLE) == ("False", "BudgetTooSmall")
    assert "budgetWatts is 178879" in said(changes, ConditionType.ACCEPTED).message
    assert [event["reason"] for event in changes.events] == ["BudgetTooSmall"]


def test_a_nodes_own_host_counts_at_what_its_label_says() -> None:
    alike = plan(domain(), seen(domain(), members=nodes(52)), now=NOON)
    hungry = plan(domain(), seen(domain(), members=labelled(52, "3100", labelled=2)), now=NOON)
    assert verdict(hungry) == ("True", "SafeFits")
    assert hungry.wanted is not None
    assert alike.wanted is not None
    assert (hungry.wanted.max_watts or 0) - (alike.wanted.max_watts or 0) == 2 * (3100 - 2600)


def with_one(odd: facts.Capacity, *, budget: int = 243_200) -> Changes:
    """The plan of 52 servers of which one has this capacity."""
    one = domain(budget=budget)
    observed = seen(one)
    return plan(one, replace(observed, capacities={**observed.capacities, odd.node: odd}), now=NOON)


def test_a_node_without_gpus_counts_with_its_host() -> None:
    changes = with_one(capacity("row-a-07", gpus=0))
    assert verdict(changes) == ("True", "SafeFits")
    assert verdict(changes, ConditionType.ENFORCEABLE) == ("True", "ReactionInTime")
    assert changes.wanted is not None
    assert changes.wanted.max_watts == 51 * 5960 + 2600


@pytest.mark.parametrize("rangeless", [1, 8])
def test_a_gpu_without_a_range_counts_at_its_most_and_the_others_give_for_it(rangeless: int) -> None:
    odd = capacity("row-a-07", rangeless=rangeless)
    lowest_watts = 52 * 3440 + rangeless * 315  # 1.05 x 300 W each, which nobody can take from it
    assert verdict(with_one(odd, budget=lowest_watts)) == ("True", "SafeFits")
    assert verdict(with_one(odd, budget=lowest_watts - 1)) == ("False", "BudgetTooSmall")


def test_a_label_that_says_no_watts_is_named_with_its_node() -> None:
    changes = plan(domain(), seen(domain(), members=labelled(52, "3kW", labelled=1)), now=NOON)
    assert verdict(changes) == ("False", "HostWattsInvalid")
    assert (
        "row-a-00: node-restriction.kubernetes.io/loadline-host-max-watts is '3kW'"
        in said(changes, ConditionType.ACCEPTED).message
    )


def test_a_curve_that_trips_before_the_reaction_is_refused() -> None:
    slow = domain(leaseSeconds=30)
    changes = plan(slow, seen(slow), now=NOON)
    assert verdict(changes) == ("True", "SafeFits")
    assert verdict(changes, ConditionType.ENFORCEABLE) == ("False", "ReactionTooSlow")
    assert "lower leaseSeconds" in said(changes, ConditionType.ENFORCEABLE).message


def test_a_row_that_fits_at_its_maximum_never_trips() -> None:
    wide = domain(budget=320_000)
    changes = plan(wide, seen(wide), now=NOON)
    assert changes.wanted is not None
    assert changes.wanted.trip_milliseconds is None
    assert changes.wanted.tolerates_silent_nodes == 52


def test_nodes_that_have_not_told_leave_it_open() -> None:
    changes = plan(domain(), seen(domain(), untold=["row-a-07"]), now=NOON)
    assert verdict(changes) == ("Unknown", "CapacityUnknown")
    assert "row-a-07" in said(changes, ConditionType.ACCEPTED).message


def test_too_many_are_too_many_before_all_have_told() -> None:
    small = domain(budget=100_000)
    assert verdict(plan(small, seen(small, untold=["row-a-07"]), now=NOON)) == ("False", "BudgetTooSmall")


def test_a_domain_may_not_be_its_own_ancestor() -> None:
    a, b = domain(parent="site"), domain("site", labels={}, parent="row-a")
    changes = plan(a, seen(a, b), now=NOON)
    assert verdict(changes) == ("False", "OwnAncestor")
    assert "row-a → site → row-a" in said(changes, ConditionType.ACCEPTED).message


@pytest.mark.parametrize(
    ("one", "members", "reason"),
    [(domain(parent="site"), None, "ParentMissing"), (domain(), (), "NoMembers")],
)
def test_a_place_that_is_not_there_is_told(
    one: facts.Domain, members: tuple[facts.Node, ...] | None, reason: str
) -> None:
    assert verdict(plan(one, seen(one, members=members), now=NOON)) == ("False", reason)


def test_a_label_that_no_node_can_have_is_told_from_one_that_none_has() -> None:
    odd, absent = domain(labels={"Größe/x": "y z", "row": "a"}), domain(labels={"row": "a", "hall": "b"})
    changes = plan(odd, seen(odd, members=()), now=NOON)
    assert verdict(changes) == ("False", "SelectorInvalid")
    text = said(changes, ConditionType.ACCEPTED).message
    assert "has Größe/x: y z, which no node can have: the key's part before the slash" in text
    changes = plan(absent, seen(absent, members=()), now=NOON)
    assert verdict(changes) == ("False", "NoMembers")
    assert (
        "no node has the labels of nodeSelector.matchLabels (hall: b, row: a)"
        in said(changes, ConditionType.ACCEPTED).message
    )


def test_two_domains_may_not_claim_one_node() -> None:
    a, b = domain(), domain("row-b", labels={ROW: "row-a"}, created="2026-06-01T00:00:00Z")
    changes = plan(b, seen(a, b), now=NOON)
    assert verdict(changes) == ("False", "NodeClaimedTwice")
    assert "row-a-00 is in row-a" in said(changes, ConditionType.ACCEPTED).message
    assert verdict(plan(a, seen(a, b), now=NOON)) == ("True", "SafeFits"), "the older one has it"


def test_a_node_stays_with_the_domain_that_it_is_armed_for() -> None:
    old, b = domain(), domain("row-b", labels={ROW: "row-a"}, created="2026-06-01T00:00:00Z")
    changes = plan(old, seen(old, b, armed_for="row-b"), now=NOON)
    assert verdict(changes) == ("False", "NodeClaimedTwice")
    assert "row-a-00 is in row-b" in said(changes, ConditionType.ACCEPTED).message
    assert verdict(plan(b, seen(old, b, armed_for="row-b"), now=NOON)) == ("True", "SafeFits")


def test_a_domain_that_selects_a_node_no_more_has_it_no_more() -> None:
    old, b = domain(), domain("row-b")
    assert verdict(plan(old, seen(old, b, armed_for="row-b"), now=NOON)) == ("True", "SafeFits")


def test_a_parent_may_select_its_childrens_nodes() -> None:
    child, parent = domain(parent="room"), domain("room", labels={ROW: "row-a"}, budget=300_000)
    assert verdict(plan(child, seen(child, parent), now=NOON)) == ("True", "SafeFits")


def test_children_may_not_be_promised_more_than_there_is() -> None:
    site = domain("site", labels={}, budget=400_000)
    a, b = domain(parent="site"), domain("row-b", parent="site")
    changes = plan(site, seen(site, a, b), now=NOON)
    assert verdict(changes) == ("False", "BudgetTooSmall")
    assert "row-a, row-b have 486400 W" in said(changes, ConditionType.ACCEPTED).message


def test_a_domain_of_domains_has_no_lease() -> None:
    site = domain("site", labels={}, budget=500_000)
    changes = plan(site, seen(site, domain(parent="site")), now=NOON)
    assert verdict(changes) == ("True", "AsDeclared")
    assert changes.lease is None


@pytest.mark.parametrize(("key", "status"), [("rack", "False"), ("node-restriction.kubernetes.io/r", "True")])
def test_a_label_that_kubelets_may_change_is_warned_of(key: str, status: str) -> None:
    one = domain(labels={key: "x"})
    assert said(plan(one, seen(one), now=NOON), ConditionType.SELECTOR_TRUSTED).status == status


def test_a_broken_policy_keeps_the_hash_of_the_last_good_one() -> None:
    broken = Document(loop=Loop.POWER, good_hash="aaaa", policy="polca", fault="settings.x is 1: remove it")
    changes = plan(domain(), seen(domain(), document=broken), now=NOON)
    assert verdict(changes, ConditionType.POLICY_VALID) == ("False", "PolicyInvalid")
    assert changes.wanted is not None
    assert changes.wanted.policy_hash == "aaaa"


def test_after_a_restart_the_published_hash_stays() -> None:
    broken = Document(loop=Loop.POWER, good_hash=None, policy=None, fault="settings.x is 1: remove it")
    start = domain(status={"policyHash": "bbbb"})
    changes = plan(start, seen(start, document=broken), now=NOON)
    assert changes.wanted is not None
    assert changes.wanted.policy_hash == "bbbb"
    assert "which this operator has not read" in said(changes, ConditionType.POLICY_VALID).message


def test_the_lease_is_never_taken_from_its_holder() -> None:
    lease = plan(domain(), seen(domain()), now=NOON).lease
    assert lease is not None
    assert "spec" not in lease
    assert lease["metadata"]["annotations"]["loadline.dev/candidates"].count(",") == 4
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "uid-row-a"


def test_a_lease_of_an_earlier_domain_of_that_name_is_taken_over() -> None:
    names = tuple(f"row-a-{i:02d}" for i in range(5))
    old = facts.DomainLease(domain="row-a", owner_uid="another", candidates=names, holder="")
    assert plan(domain(), seen(domain(), lease=old), now=NOON).lease is not None
    own = replace(old, owner_uid="uid-row-a")
    assert plan(domain(), seen(domain(), lease=own), now=NOON).lease is None


def test_the_coordinators_half_of_the_status_is_not_ours() -> None:
    enforcing = {"type": "Enforcing", "status": "True", "reason": "ModeEnforce"}
    assert domain(status={"observedWatts": 5, "conditions": [enforcing]}) == domain()


def doubted(count: int, *, budget: int = 243_200) -> Changes:
    """The plan of 52 servers, of so many of which nobody vouches for what their agents have told."""
    one = domain(budget=budget)
    observed = seen(one)
    stale = {node.name: capacity(node.name, stale=True) for node in observed.nodes[:count]}
    return plan(one, replace(observed, capacities={**observed.capacities, **stale}), now=NOON)


def test_what_nobody_vouches_for_makes_no_promise() -> None:
    changes = doubted(1)
    assert verdict(changes, ConditionType.ENFORCEABLE) == ("Unknown", "NotRefreshed")
    assert "1 of 52 nodes is stale: row-a-00;" in said(changes, ConditionType.ENFORCEABLE).message
    assert changes.wanted is not None
    assert changes.wanted.safe_watts == 243_090, "ranges are the hardware's, and stay"


def test_safe_limits_that_fit_with_the_doubted_at_their_maximum_fit() -> None:
    assert verdict(doubted(1)) == ("True", "SafeFits")
    assert verdict(doubted(52, budget=52 * 5960)) == ("True", "SafeFits")


def test_safe_limits_that_fit_only_if_the_doubted_obey_are_in_doubt_too() -> None:
    assert verdict(doubted(52)) == ("Unknown", "NotRefreshed")


def test_what_is_refused_either_way_stays_refused() -> None:
    assert verdict(doubted(1, budget=150_000)) == ("False", "BudgetTooSmall")
