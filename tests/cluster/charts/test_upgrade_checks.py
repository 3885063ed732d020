"""An upgrade across two versions of the wire stops before anything is changed, where a row is in force."""

from collections.abc import Callable

import pytest

from demos.serving.helms import Helm, HelmFailed
from loadline_api import names
from loadline_api.reports import WIRE_VERSION
from testbed.chart_hooks import Hooks
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object

OPERATOR = f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/deployments/{names.OPERATOR_ACCOUNT}"
ALLOWED = ("--set", "upgrade.allowEnforced=true")


def test_a_row_of_the_first_chart_is_released_first(
    helm: Helm,
    hooks: Hooks,
    old: str,
    new: str,
    quay: Bed,
    fields: Callable[[str], set[str]],
    row: Callable[..., Object],
    tell: Callable[..., None],
) -> None:
    helm("install", "loadline", old, "--create-namespace")
    row(mode="Enforce")
    tell("pier-0", True, domain="row-a")
    before = quay.client.get(OPERATOR)["metadata"]["generation"]
    with pytest.raises(HelmFailed, match="pre-upgrade hooks failed"):
        helm("upgrade", "loadline", new)
    assert "PowerDomain row-a (pier-0: wire version before 2)" in hooks.output["upgrade"]
    assert "Nothing has been changed" in hooks.output["upgrade"]
    assert "kubectl patch powerdomain row-a" in hooks.output["upgrade"]
    assert quay.client.get(OPERATOR)["metadata"]["generation"] == before
    assert "engine" not in fields("inferenceservices"), "its definitions would blind the agents of the first"
    tell("pier-0", False, domain="row-a")
    helm("upgrade", "loadline", new)
    assert "no node enforces limits" in hooks.output["upgrade"]
    assert "engine" in fields("inferenceservices")


def test_a_row_stays_in_force_or_is_broken_up_by_whoever_says_so(
    helm: Helm, hooks: Hooks, new: str, row: Callable[..., Object], tell: Callable[..., None]
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    row(mode="Enforce")
    for node in ("pier-0", "pier-1"):
        tell(node, True, domain="row-a", wireVersion=WIRE_VERSION)
    helm("upgrade", "loadline", new, "--set", "operator.logLevel=debug")
    assert (
        f"agents of all 2 nodes that enforce limits have wire version {WIRE_VERSION}"
        in hooks.output["upgrade"]
    )
    tell("pier-1", True, domain="row-a", wireVersion=WIRE_VERSION + 1)
    helm("upgrade", "loadline", new, *ALLOWED)
    assert "The upgrade continues because upgrade.allowEnforced is true" in hooks.output["upgrade"]
    with pytest.raises(HelmFailed, match="loadline-upgrade"):
        helm("rollback", "loadline", "1")
    assert f"(pier-1: wire version {WIRE_VERSION + 1})" in hooks.output["upgrade"]
    tell("pier-1", False, domain="row-a", wireVersion=WIRE_VERSION + 1)
    helm("rollback", "loadline", "1")
