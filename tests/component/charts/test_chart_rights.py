"""Exactly the rights of the design, verb by verb."""

from typing import Any

import pytest

from loadline_api import names
from loadline_operator.kube.kinds import EVERYWHERE, Kind
from loadline_operator.services.facts.foreign_workloads import FOREIGN_KINDS
from loadline_operator.services.objects.manifests import OWNED_KINDS
from testbed import charts
from testbed.charts import Manifest

Right = tuple[str, str, str]
TAINT = {"agent": {"startupTaint": {"enabled": True}}}


def rights(kind: str, name: str, values: dict[str, Any] | None = None) -> set[Right]:
    """Every (group, resource, verb) that the role gives."""
    return given(charts.one(kind, name, values=values)["rules"])


def given(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles() -> list[Manifest]:
    """Every role of the chart, hooks' among them."""
    hooks = [one for event in ("pre-upgrade", "pre-delete", "test") for one in charts.hooks(event)]
    return [one for one in [*charts.rendered(TAINT), *hooks] if one["kind"] in ("Role", "ClusterRole")]


def spelled(*rules: tuple[str, str, str]) -> set[Right]:
    """Rights from short rules: group, resources and verbs, the latter two separated by spaces."""
    return {(g, r, v) for g, resources, verbs in rules for r in resources.split() for v in verbs.split()}


def test_an_agent_has_these_rights_and_no_others() -> None:
    assert rights("ClusterRole", names.AGENT_ACCOUNT) == spelled(
        ("", "nodes", "get"),
        ("", "pods", "get list watch"),
        ("resource.k8s.io", "resourceslices", "list"),
        (names.GROUP, "inferenceservices powerdomains nodecapacities", "get list watch"),
        (names.GROUP, "nodecapacities", "create update patch"),
        (names.GROUP, "nodecapacities/status", "update patch"),
        (names.GROUP, "powerdomains/status", "patch"),
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("", "events", "create"),
    )
    assert rights("Role", names.AGENT_ACCOUNT) == spelled(
        ("coordination.k8s.io", "leases", "get update"), ("", "configmaps", "get list watch")
    )


READ = "get list watch"
MAKE = f"{READ} create patch delete"


def test_the_operator_has_these_rights_and_no_others() -> None:
    assert rights("ClusterRole", names.OPERATOR_ACCOUNT) == OPERATOR
    assert rights("Role", names.OPERATOR_ACCOUNT) == spelled(
        ("coordination.k8s.io", "leases", "get list watch create patch"), ("", "configmaps", READ)
    )


def test_a_namespace_with_policies_of_its_own_lets_operator_and_agents_read_them_and_nothing_else() -> None:
    values = {"policyNamespaces": ["team-a"]}
    own = [one for one in charts.rendered(values) if one["metadata"].get("namespace") == "team-a"]
    assert {one["kind"] for one in own} == {"Role", "RoleBinding"}
    role, binding = own
    assert given(role["rules"]) == spelled(("", "configmaps", "list watch"))
    readers = [subject["name"] for subject in binding["subjects"]]
    assert readers == [names.OPERATOR_ACCOUNT, names.AGENT_ACCOUNT]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


OPERATOR = spelled(
    (names.GROUP, "inferenceservices powerdomains nodecapacities", READ),
    (names.GROUP, "inferenceservices/status powerdomains/status nodecapacities/status", "patch"),
    (names.GROUP, "inferenceservices/scale", "patch"),
    ("apps", "deployments", MAKE),
    ("", "services serviceaccounts", MAKE),
    ("policy", "poddisruptionbudgets", MAKE),
    ("rbac.authorization.k8s.io", "rolebindings", MAKE),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "list watch"),
    ("leaderworkerset.x-k8s.io", "leaderworkersets", MAKE),
    ("monitoring.coreos.com", "podmonitors", MAKE),
    ("inference.networking.k8s.io", "inferencepools", MAKE),
    ("apps", "statefulsets", READ),
    ("serving.kserve.io", "inferenceservices llminferenceservices", READ),
    ("apps", "deployments/scale statefulsets/scale", "patch"),
    ("leaderworkerset.x-k8s.io", "leaderworkersets/scale", "patch"),
    ("disaggregatedset.x-k8s.io", "disaggregatedsets disaggregatedsetrolescalers", READ),
    ("disaggregatedset.x-k8s.io", "disaggregatedsetrolescalers/scale", "patch"),
    ("", "pods nodes", READ),
    ("autoscaling", "horizontalpodautoscalers", "list watch"),
    ("", "events", "create list"),
)


@pytest.mark.parametrize("kind", OWNED_KINDS, ids=lambda kind: kind.plural)
def test_the_operator_may_make_change_and_remove_what_a_service_becomes(kind: Kind) -> None:
    assert spelled((kind.group, kind.plural, MAKE)) <= OPERATOR


@pytest.mark.parametrize("kind", EVERYWHERE, ids=lambda kind: kind.plural)
def test_the_operator_may_watch_what_it_watches(kind: Kind) -> None:
    assert spelled((kind.group, kind.plural, "list watch")) <= OPERATOR


@pytest.mark.parametrize("kind", FOREIGN_KINDS, ids=lambda kind: f"{kind.group}/{kind.plural}")
def test_the_operator_may_read_what_a_service_attaches_to(kind: Kind) -> None:
    assert spelled((kind.group, kind.plural, READ)) <= OPERATOR


def test_nodes_are_written_only_for_the_startup_taint() -> None:
    assert rights("ClusterRole", names.OPERATOR_ACCOUNT, TAINT) - OPERATOR == {("", "nodes", "patch")}


def test_the_operator_may_bind_the_routers_role_alone() -> None:
    rules = charts.one("ClusterRole", names.OPERATOR_ACCOUNT)["rules"]
    (rule,) = (one for one in rules if "bind" in one["verbs"])
    assert rule["resourceNames"] == [names.ROUTER_ROLE]
    assert rule["resources"] == ["clusterroles"]
    assert rule["verbs"] == ["bind"]


def test_a_router_may_only_look_at_pods() -> None:
    assert rights("ClusterRole", names.ROUTER_ROLE) == spelled(("", "pods", READ))


def test_the_hooks_have_these_rights_and_no_others() -> None:
    upgrade, crds = (one for one in charts.hooks("pre-upgrade") if one["kind"] == "ClusterRole")
    assert given(upgrade["rules"]) == spelled((names.GROUP, "powerdomains nodecapacities", "list"))
    assert given(crds["rules"]) == spelled(
        ("apiextensions.k8s.io", "customresourcedefinitions", "get create patch")
    )
    (release,) = (one for one in charts.hooks("pre-delete") if one["kind"] == "ClusterRole")
    assert given(release["rules"]) == spelled(
        (names.GROUP, "powerdomains", "list patch"), (names.GROUP, "nodecapacities", "list")
    )


@pytest.mark.parametrize("word", ["*", "secrets", "escalate", "impersonate"])
def test_no_role_reaches_further(word: str) -> None:
    for role in roles():
        for rule in role["rules"]:
            assert word not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert "nonResourceURLs" not in rule


def test_only_the_operator_may_bind() -> None:
    binders = {
        role["metadata"]["name"] for role in roles() for rule in role["rules"] if "bind" in rule["verbs"]
    }
    assert binders == {names.OPERATOR_ACCOUNT}


def test_nobody_reads_tokens_or_runs_in_pods() -> None:
    for role in roles():
        for _, resource, verb in given(role["rules"]):
            assert resource not in {
                "serviceaccounts/token",
                "pods/exec",
                "pods/attach",
                "pods/ephemeralcontainers",
            }
            assert (resource, verb) not in {("pods", "create"), ("pods", "patch"), ("pods", "delete")}


def test_every_role_is_bound_to_its_own_account() -> None:
    bindings = [o for o in charts.rendered() if o["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert len(bindings) == 4
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert subject["name"] == binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert subject["namespace"] == names.SYSTEM_NAMESPACE


def test_a_token_is_mounted_only_where_a_pod_asks_for_it() -> None:
    accounts = [o for o in charts.rendered() if o["kind"] == "ServiceAccount"]
    assert [account["automountServiceAccountToken"] for account in accounts] == [False, False]


def test_people_who_view_edit_and_administer_get_our_kinds_too() -> None:
    viewer, editor, admin = (
        rights("ClusterRole", f"loadline-{role}") for role in ("viewer", "editor", "admin")
    )
    assert viewer < editor < admin
    assert {verb for _, _, verb in viewer} == {"get", "list", "watch"}
    assert {resource for _, resource, _ in editor - viewer} == {
        "inferenceservices",
        "inferenceservices/scale",
    }
    assert {resource for _, resource, _ in admin - editor} == {"powerdomains", "nodecapacities"}
    assert not any(resource.endswith("/status") for _, resource, _ in admin - viewer), "statuses are ours"


@pytest.mark.parametrize(("role", "to"), [("viewer", "view"), ("editor", "edit"), ("admin", "admin")])
def test_the_clusters_own_roles_take_them_in_unless_told_not_to(role: str, to: str) -> None:
    label = f"rbac.authorization.k8s.io/aggregate-to-{to}"
    assert charts.one("ClusterRole", f"loadline-{role}")["metadata"]["labels"][label] == "true"
    apart = charts.one("ClusterRole", f"loadline-{role}", values={"rbac": {"aggregateRoles": False}})
    assert label not in apart["metadata"]["labels"]
