"""Exactly the rights of the design, verb by verb."""

import pytest

from hack import charts
from loadline_api import names

Right = tuple[str, str, str]


def rights(kind: str, name: str) -> set[Right]:
    """Every (group, resource, verb) that the role gives."""
    (role,) = (o for o in charts.rendered() if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def spelled(*rules: tuple[str, str, str]) -> set[Right]:
    """Rights from short rules: group, resources and verbs, the latter two separated by spaces."""
    return {(g, r, v) for g, resources, verbs in rules for r in resources.split() for v in verbs.split()}


def test_an_agent_has_these_rights_and_no_others() -> None:
    assert rights("ClusterRole", names.AGENT_ACCOUNT) == spelled(
        ("", "nodes", "get"),
        ("", "pods", "get list watch"),
        (names.GROUP, "inferenceservices powerdomains nodecapacities", "get list watch"),
        (names.GROUP, "nodecapacities", "create update patch"),
        (names.GROUP, "nodecapacities/status", "update patch"),
        (names.GROUP, "powerdomains/status", "patch"),
        ("", "events", "create"),
        ("authentication.k8s.io", "tokenreviews", "create"),
    )
    assert rights("Role", names.AGENT_ACCOUNT) == spelled(
        ("coordination.k8s.io", "leases", "get update"), ("", "configmaps", "get list watch")
    )


def test_the_operator_has_these_rights_and_no_others() -> None:
    assert rights("ClusterRole", names.OPERATOR_ACCOUNT) == spelled(
        (names.GROUP, "inferenceservices powerdomains nodecapacities", "get list watch"),
        (names.GROUP, "inferenceservices/status powerdomains/status", "patch"),
        ("apps", "deployments", "get list watch create patch"),
        ("", "services", "get list watch create patch"),
        ("", "nodes", "get list watch"),
        ("", "events", "create"),
    )
    assert rights("Role", names.OPERATOR_ACCOUNT) == spelled(
        ("coordination.k8s.io", "leases", "get list watch create patch"),
        ("", "configmaps", "get list watch"),
    )


@pytest.mark.parametrize("word", ["*", "secrets", "escalate", "impersonate", "bind"])
def test_no_role_reaches_further(word: str) -> None:
    roles = [o for o in charts.rendered() if o["kind"] in ("Role", "ClusterRole")]
    for role in roles:
        given = {
            right
            for rule in role["rules"]
            for key in ("resources", "verbs", "apiGroups")
            for right in rule[key]
        }
        assert word not in given


def test_every_role_is_bound_to_its_own_account() -> None:
    bindings = [o for o in charts.rendered() if o["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert len(bindings) == 4
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert subject["name"] == binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert subject["namespace"] == names.SYSTEM_NAMESPACE


def test_a_token_reaches_only_the_containers_that_talk_to_the_api() -> None:
    accounts = [o for o in charts.rendered() if o["kind"] == "ServiceAccount"]
    assert [account["automountServiceAccountToken"] for account in accounts] == [False, False]
    (daemons,) = (o for o in charts.rendered() if o["kind"] == "DaemonSet")
    assert daemons["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
