"""Policy documents: what is edited is in force within two seconds, and what breaks is not."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from loadline_api import names
from loadline_policies.documents import parse_power
from testbed.api_callers import eventually
from testbed.cluster.bed import Bed
from testbed.doubles.operators import warnings_of

pytestmark = pytest.mark.cluster

HEAD = "schema: policies.loadline.dev/v1alpha1\nloop: power\n"
FIRST = f"{HEAD}policy: no-cap\n"
SECOND = f"{HEAD}policy: static-cap\n"
BROKEN = f"{HEAD}policy: no-cap\nsettings: {{speed: 11}}\n"

Status = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def edit(harbour: Bed, operator: Any) -> Callable[[str], None]:
    """Write the policy that the domain `ruled` goes by."""
    labels = {names.POLICY_LABEL: "power"}

    def write(text: str) -> None:
        metadata = {"name": "ruling", "namespace": names.SYSTEM_NAMESPACE, "labels": labels}
        data = {names.POLICY_KEY: text}
        harbour.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])

    return write


@pytest.fixture
def ruled(harbour: Bed, row: Callable[[str], Any], edit: Callable[[str], None], status: Status) -> str:
    """A domain whose policy is the first one."""
    edit(FIRST)
    harbour.apply([row("ruled").domain(budget=9_000, policyRef={"name": "ruling"})])
    eventually(lambda: _goes_by(status, FIRST))
    return parse_power(FIRST).hash


def _goes_by(status: Status, text: str) -> None:
    assert status("ruled").get("policyHash") == parse_power(text).hash


def _valid(status: Status, so: str, reason: str) -> None:
    found = status("ruled")["conditions"].get("PolicyValid", {})
    assert (found.get("status"), found.get("reason")) == (so, reason), found


def test_an_edit_is_in_the_status_within_two_seconds(
    ruled: str, edit: Callable[[str], None], status: Status
) -> None:
    start_s = time.monotonic()
    edit(SECOND)
    eventually(lambda: _goes_by(status, SECOND))
    assert time.monotonic() - start_s < 2.0


def test_a_broken_edit_keeps_the_last_good_policy_and_says_so(
    harbour: Bed, operator: Any, ruled: str, edit: Callable[[str], None], status: Status
) -> None:
    refusals = operator.metric("loadline_operator_policy_refusals_total")
    edit(BROKEN)
    eventually(lambda: _valid(status, "False", "PolicyInvalid"))
    found = status("ruled")
    assert found["policyHash"] == ruled
    assert "settings.speed is 11" in found["conditions"]["PolicyValid"]["message"]
    assert operator.metric("loadline_operator_policies_invalid") == 1
    assert operator.metric("loadline_operator_policy_refusals_total") == refusals + 1
    assert operator.logged("a policy was refused, the last good one stays in force")
    eventually(lambda: _told(harbour, "PolicyInvalid"))
    edit(SECOND)
    eventually(lambda: _valid(status, "True", "Parsed"))
    assert operator.metric("loadline_operator_policies_invalid") == 0


def test_a_restart_with_a_broken_policy_keeps_the_published_hash(
    operator: Any, ruled: str, edit: Callable[[str], None], status: Status
) -> None:
    edit(BROKEN)
    eventually(lambda: _valid(status, "False", "PolicyInvalid"))
    operator.restart()
    eventually(lambda: _says_it_has_not_read_it(status))
    assert status("ruled")["policyHash"] == ruled
    edit(FIRST)
    eventually(lambda: _valid(status, "True", "Parsed"))


def test_a_policy_that_is_deleted_stays_in_force(
    harbour: Bed, ruled: str, edit: Callable[[str], None], status: Status
) -> None:
    harbour.client.delete(f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/configmaps/ruling")
    eventually(lambda: _valid(status, "False", "PolicyMissing"))
    assert status("ruled")["policyHash"] == ruled
    edit(FIRST)
    eventually(lambda: _valid(status, "True", "Parsed"))


def _told(bed: Bed, reason: str) -> None:
    assert reason in warnings_of(bed, name="ruling", namespace=names.SYSTEM_NAMESPACE)


def _says_it_has_not_read_it(status: Status) -> None:
    assert "has not read" in status("ruled")["conditions"]["PolicyValid"]["message"]
