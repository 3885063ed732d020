"""What API objects mean to an agent, and what it remembers of them."""

import base64
import ssl
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from loadline_agent.domain.self_signed_certificates import self_signed
from loadline_agent.domain.tls_identity import der_of
from loadline_agent.kube import checkpoint_files
from loadline_agent.kube.checkpoint_files import Checkpoint, RememberedPeer
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.declarations import Declarations
from loadline_agent.kube.object_parsers import (
    declared_of,
    domain_of,
    drill_of,
    home_of,
    host_problem,
    known_of,
    policy_of,
    terms_of,
)
from loadline_api.names import HOST_IDLE_WATTS_LABEL, HOST_MAX_WATTS_LABEL, UNKNOWN_OWNER
from loadline_policies.errors import InvalidInput, InvalidPolicy
from loadline_policies.power.protocol.domains import ServiceTerms
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.safety.breakers import FOREVER
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating


@cache
def pem(node: str) -> str:
    """The certificate of a node's agent."""
    return self_signed(node)[1].decode()


PEM = pem("node-00")
POLICY = "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: polca\n"


def domain(
    name: str = "row-a", labels: dict[str, str] | None = None, *, created: str = "", **spec: object
) -> dict[str, Any]:
    selector = {"matchLabels": labels or {"row": "a"}}
    host = {"max": 2600, "idle": 900}
    declared = {"budgetWatts": 243_200, "nodeSelector": selector, "hostWatts": host, **spec}
    return {"metadata": {"name": name, "uid": "1", "creationTimestamp": created}, "spec": declared}


def capacity(
    node: str = "node-00", *, settable: str = "True", certificate: str | None = None, **gpu: object
) -> dict[str, Any]:
    listed = {"uuid": "GPU-0", "minWatts": 100, "maxWatts": 400, **gpu}
    conditions = [{"type": "LimitsSettable", "status": settable, "reason": "Writable"}]
    return {
        "metadata": {"name": node},
        "spec": {"certificate": certificate or pem(node), "address": "10.0.0.1:9476"},
        "status": {"hostMaxWatts": 2600, "gpus": [listed], "conditions": conditions},
    }


def home(labels: dict[str, str], *domains: dict[str, Any]) -> Home:
    return home_of(labels, map(declared_of, domains))


def test_a_node_hangs_on_the_domain_that_selects_it() -> None:
    assert home({"row": "a", "zone": "1"}, domain(), domain("row-b", {"row": "b"})) == Home(
        domain="row-a", host_idle_watts=900.0, host_max_watts=2600.0
    )


def test_all_labels_of_a_selector_must_match() -> None:
    assert home({"row": "a"}, domain(labels={"row": "a", "feed": "1"})) == Home()


def test_a_domain_of_domains_selects_no_node() -> None:
    feed = domain("feed")
    del feed["spec"]["nodeSelector"]
    assert home({"row": "a"}, feed) == Home()


def test_of_two_domains_the_older_one_has_the_node_and_both_are_named() -> None:
    """A rival, also one that only observes, takes nobody out of a row that is in force."""
    older = domain("row-b", created="2026-01-01T00:00:00Z")
    claimed = home({"row": "a"}, domain("row-a", created="2026-06-01T00:00:00Z"), older)
    assert claimed.domain == "row-b"
    assert claimed.conflict is not None
    assert "row-a, row-b" in claimed.conflict


def test_no_older_domain_takes_a_node_out_of_the_one_that_armed_it() -> None:
    labels = {"row": "a"}
    claims = [
        declared_of(domain(name, created=when)) for name, when in (("row-a", "2026-06"), ("row-b", "2026-01"))
    ]
    assert home_of(labels, claims).domain == "row-b"
    assert home_of(labels, claims, armed_for="row-a").domain == "row-a"
    assert home_of(labels, claims[1:], armed_for="row-a").domain == "row-b", "it doesn't select it any more"


def test_the_host_of_a_node_that_nobody_selects_draws_as_the_domain_says_that_armed_it() -> None:
    """After a restart it was told to draw nothing, by the very node that the domain still answered for."""
    row, other = declared_of(domain()), declared_of(domain("row-b", {"row": "b"}, hostWatts={"max": 100}))
    left = home_of({}, [other, row], armed_for="row-a")
    assert left == Home(host_idle_watts=900.0, host_max_watts=2600.0)
    assert home_of({HOST_MAX_WATTS_LABEL: "3100"}, [row], armed_for="row-a").host_max_watts == 3100.0
    assert home_of({}, [other, row]) == home_of({}, [other], armed_for="row-a") == Home()


def test_a_host_without_an_idle_draw_counts_at_its_maximum() -> None:
    assert home({"row": "a"}, domain(hostWatts={"max": 2600})).host_idle_watts == 2600.0


def test_a_node_may_say_by_labels_what_its_own_host_draws() -> None:
    ours = {"row": "a", HOST_MAX_WATTS_LABEL: "3100", HOST_IDLE_WATTS_LABEL: "1200"}
    assert home(ours, domain()) == Home(domain="row-a", host_idle_watts=1200.0, host_max_watts=3100.0)
    assert host_problem(ours) is None


def test_a_label_that_says_no_watts_leaves_a_host_as_its_domain_says() -> None:
    slipped = {"row": "a", HOST_MAX_WATTS_LABEL: "3kW"}
    assert home(slipped, domain()).host_max_watts == 2600.0
    told = host_problem(slipped)
    assert told is not None
    assert "is '3kW': give whole watts" in told


@pytest.mark.parametrize(("published", "counted"), [(3100, 3100.0), (400, 2600.0), (None, None)])
def test_until_a_member_is_heard_its_host_counts_at_the_higher_of_both(
    published: int | None, counted: float | None
) -> None:
    thing = domain()
    thing["status"] = {"members": ["node-00"]}
    node = capacity()
    node["status"]["hostMaxWatts"] = published
    made = domain_of(
        declared_of(thing),
        policy_of({"data": {"policy.yaml": POLICY}}).document,
        capacities={"node-00": known_of(node)},
        services={},
    )
    rating = made.ratings.get("node-00")
    assert (rating.host_max_watts if rating is not None else None) == counted


def test_watts_in_a_status_are_no_change_of_the_declaration() -> None:
    quiet, busy = domain(), domain()
    quiet["status"] = {"members": ["node-00"], "observedWatts": 100_000}
    busy["status"] = {"members": ["node-00"], "observedWatts": 200_000, "level": "Brake"}
    assert declared_of(quiet) == declared_of(busy)


def test_limits_in_a_capacity_are_no_change_of_what_is_known() -> None:
    assert known_of(capacity(enforcedWatts=200)) == known_of(capacity(enforcedWatts=400))


def test_a_declaration_that_cannot_be_used_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidInput, match=r"spec\.budgetWatts"):
        declared_of(domain(budgetWatts=0))


def test_what_a_later_versions_definition_adds_by_default_changes_no_declaration() -> None:
    """A definition is upgraded before the agents are: else a restarted one would know no domain."""
    assert declared_of(domain(standbyWatts=1, breaker={"later": {}})) == declared_of(domain(breaker={}))
    later = capacity()
    later["spec"]["keys"] = ["another"]
    assert known_of(later) == known_of(capacity())


def test_a_coordinator_gets_all_that_is_declared() -> None:
    thing = domain(mode="Enforce", leaseSeconds=6, breaker={"coolingSeconds": 300})
    thing["status"] = {"members": ["node-00", "node-01"]}
    document = policy_of({"data": {"policy.yaml": POLICY}}).document
    known = {"node-00": known_of(capacity()), "node-09": known_of(capacity("node-09"))}
    made = domain_of(
        declared_of(thing), document, capacities=known, services={"prod/chat": ServiceTerms(priority=100)}
    )
    assert (made.name, made.budget_watts, made.enforce) == ("row-a", 243_200.0, True)
    assert made.members == {"node-00", "node-01"}
    assert made.timings.lease_s == 6.0
    assert made.curve.cooling_s == 300.0
    assert made.curve.points[0] == (1.05, FOREVER)
    assert made.terms_of("prod/chat") == ServiceTerms(priority=100)
    rating = NodeRating(node="node-00", host_max_watts=2600.0, gpus=(GpuRating("GPU-0", 100.0, 400.0),))
    assert made.ratings == {"node-00": rating}


def test_a_gpu_in_use_by_nobody_that_is_known_is_of_the_highest_class() -> None:
    document = policy_of({"data": {"policy.yaml": POLICY}}).document
    strict = replace(document, high_priority_from=1000)
    made = domain_of(declared_of(domain()), strict, capacities={}, services={})
    assert made.is_high(UNKNOWN_OWNER)
    assert not made.is_high("prod/chat")
    assert made.terms_of(UNKNOWN_OWNER).max_watts is None


def test_a_node_that_left_but_is_still_armed_holds_its_part_of_the_budget() -> None:
    thing = domain()
    thing["status"] = {"members": ["node-00"]}
    document = policy_of({"data": {"policy.yaml": POLICY}}).document
    armed = [{"type": "Enforcing", "status": "True", "reason": "ModeEnforce", "message": "armed"}]
    left = capacity("node-07")
    left["status"] |= {"domain": "row-a", "conditions": [*left["status"]["conditions"], *armed]}
    known = {
        "node-00": known_of(capacity()),
        "node-07": known_of(left),
        "node-08": known_of(capacity("node-08")),
    }
    made = domain_of(declared_of(thing), document, capacities=known, services={})
    assert made.leaving == {"node-07"}
    assert made.ratings.keys() == {"node-00", "node-07"}


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(capacity(maxWatts=None), id="a-range-is-not-told"),
        pytest.param({**capacity(), "status": {}}, id="nothing-is-told"),
    ],
)
def test_half_a_capacity_is_no_rating(thing: dict[str, Any]) -> None:
    declared = domain()
    declared["status"] = {"members": ["node-00"]}
    document = policy_of({"data": {"policy.yaml": POLICY}}).document
    assert (
        domain_of(
            declared_of(declared), document, capacities={"node-00": known_of(thing)}, services={}
        ).ratings
        == {}
    )


def test_a_node_that_may_not_set_limits_is_rated_so() -> None:
    assert known_of(capacity(settable="False")).settable is False
    rangeless = capacity(settable="False")
    rangeless["status"]["conditions"][0]["reason"] = "RangeUnknown"
    assert known_of(rangeless).settable, "one GPU without a range bars no other"


def many(*pems: str) -> str:
    """One PEM block with several certificates in it."""
    ders = base64.encodebytes(b"".join(map(ssl.PEM_cert_to_DER_cert, pems))).decode()
    return f"-----BEGIN CERTIFICATE-----\n{ders}-----END CERTIFICATE-----\n"


NO_PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("certificate", "fix"),
    [
        pytest.param(NO_PEM, "one PEM", id="none"),
        pytest.param(many(pem("node-00"), pem("node-01")), "one PEM", id="two-in-one"),
        pytest.param(pem("node-00"), "names another node", id="another-nodes"),
        pytest.param(pem("node-010"), "names another node", id="of-a-longer-name"),
        pytest.param(pem("node-0"), "names another node", id="of-a-shorter-name"),
    ],
)
def test_a_certificate_that_isnt_the_nodes_own_makes_no_peer_and_hides_no_gpu(
    certificate: str, fix: str
) -> None:
    known = known_of(capacity("node-01", certificate=certificate))
    assert known.peer is None
    assert fix in str(known.problem)
    assert known.gpus == (GpuRating("GPU-0", 100.0, 400.0),)


def test_whoever_publishes_another_nodes_certificate_silences_nobody() -> None:
    """Also where it was remembered so by an earlier version of the agent."""
    told = Declarations(Kube(Credentials(server="http://127.0.0.1:1")), "node-00", "loadline-system")
    things = [capacity("node-00"), capacity("node-01", certificate=PEM), capacity("node-02")]
    told._capacities.items = {thing["metadata"]["name"]: known_of(thing) for thing in things}
    told._capacities_changed()
    assert set(told.certificates.values()) == {"node-00", "node-02"}
    assert told.node_of(der_of(PEM)) == "node-00"
    (problem,) = told.problems
    assert problem.startswith("node-01: ")


def test_a_remembered_certificate_of_another_node_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    kept = [
        RememberedPeer(node=node, address="10.0.0.1:9476", certificate=pem(shown))
        for node, shown in (("node-00", "node-00"), ("node-01", "node-00"), ("node-02", "node-02"))
    ]
    checkpoint_files.keep(tmp_path, Checkpoint(home=Home(domain="row-a"), candidates=tuple(kept)))
    found = checkpoint_files.recall(tmp_path)
    assert [one.node for one in found.candidates] == ["node-00", "node-02"]
    assert found.home == Home(domain="row-a")


def test_a_policy_is_under_its_key() -> None:
    with pytest.raises(InvalidPolicy, match=r"policy\.yaml"):
        policy_of({"data": {"polcy.yaml": POLICY}})


def test_a_service_without_a_priority_has_the_default() -> None:
    spec = {"model": {"uri": "hf://org/name"}}
    assert terms_of({"metadata": {"name": "code"}, "spec": spec}) == ServiceTerms()


def test_a_service_may_bound_the_watts_of_its_gpus() -> None:
    spec = {"model": {"uri": "hf://org/name"}, "priority": 100, "power": {"maxWatts": 300}}
    assert terms_of({"metadata": {"name": "chat"}, "spec": spec}) == ServiceTerms(
        priority=100, max_watts=300.0
    )


def test_a_memory_is_kept_for_root_alone(tmp_path: Path) -> None:
    peer = RememberedPeer(node="node-00", address="10.0.0.1:9476", certificate=PEM)
    checkpoint = Checkpoint(
        home=Home(domain="row-a"), candidates=(peer,), policies={"loadline-system/p": POLICY}
    )
    checkpoint_files.keep(tmp_path, checkpoint)
    assert checkpoint_files.recall(tmp_path) == checkpoint
    assert (tmp_path / "domain.json").stat().st_mode & 0o077 == 0
    assert der_of(checkpoint_files.recall(tmp_path).candidates[0].certificate) == der_of(PEM)


def test_nothing_kept_is_an_empty_memory(tmp_path: Path) -> None:
    assert checkpoint_files.recall(tmp_path) == Checkpoint()


NO_CERTIFICATE = '{"candidates": [{"node": "a", "address": "b", "certificate": "c"}]}'


@pytest.mark.parametrize("text", ["", "{", '{"home": 1}', '{"candidates": [{}]}', NO_CERTIFICATE, "\udcff"])
def test_a_broken_memory_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "domain.json").write_text(text, errors="surrogateescape")
    with pytest.raises(InvalidInput, match="remove it"):
        checkpoint_files.recall(tmp_path)


def test_an_order_for_a_drill_is_kept_as_it_is_written() -> None:
    thing = domain()
    assert declared_of(thing).drill is None
    thing["metadata"]["annotations"] = {"loadline.dev/drill": "soon"}
    assert declared_of(thing).drill == "soon"


def test_an_order_is_as_old_as_the_wall_clock_says_when_it_is_read() -> None:
    order = drill_of("2026-01-02T03:04:05Z/10", wall_s=1_767_323_047.5, now=40.0)
    assert (order.age_s, order.seconds, order.read_s, order.problem) == (2.5, 10.0, 40.0, "")


def test_an_order_that_cant_be_read_is_no_reason_to_refuse_the_rest() -> None:
    order = drill_of("x" * 200_000, wall_s=0.0, now=40.0)
    assert "write a time in UTC" in order.problem
    assert len(order.text) == 64
