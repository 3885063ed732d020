"""What nodes tell of a service, put together: yes and no, never a count."""

import pytest

from loadline_api.experts import ExpertsStatus
from loadline_api.kv_cache import AdmissionStatus, KvCacheStatus
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.node_reports import (
    NodeReport,
    capped,
    has_plugin,
    node_reports,
    slo_met,
    turned,
)
from loadline_policies.errors import InvalidInput
from testbed.agent_specs import agent_spec


def capacity(*services: Manifest) -> Manifest:
    return {
        "metadata": {"name": "node-0", "uid": "u"},
        "spec": agent_spec(),
        "status": {"services": list(services)},
    }


def test_counts_are_not_remembered() -> None:
    def told(pods: int) -> dict[str, NodeReport]:
        one = {"service": "serving/chat", "pods": pods, "gpus": 8 * pods, "capped": True}
        return node_reports(capacity(one))

    assert told(1) == told(2) == {"serving/chat": NodeReport(capped=True)}
    assert node_reports(capacity()) == {}


def test_loads_of_experts_are_remembered_as_they_are_reported() -> None:
    told = {"service": "serving/chat", "experts": {"engines": 1, "layers": 4, "reason": "ObjectiveMet"}}
    (one,) = node_reports(capacity(told)).values()
    assert one.experts == ExpertsStatus(engines=1, layers=4, reason="ObjectiveMet")


def test_figures_of_admission_are_remembered_as_they_are_reported() -> None:
    told = {"service": "serving/chat", "kvCache": {"admission": {"engines": 1, "preemptions": 0}}}
    (one,) = node_reports(capacity(told)).values()
    assert one.kv_cache == KvCacheStatus(admission=AdmissionStatus(engines=1, preemptions=0))


def test_what_no_agent_writes_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="capped"):
        node_reports(capacity({"service": "serving/chat", "capped": "perhaps"}))


def test_only_services_of_which_something_else_is_told_are_woken() -> None:
    before = {"a": NodeReport(), "b": NodeReport(capped=True), "c": NodeReport()}
    after = {"a": NodeReport(), "b": NodeReport(), "d": NodeReport()}
    assert turned(before, after) == {"b", "c", "d"}


@pytest.mark.parametrize(
    ("told", "so", "reason"),
    [
        ([], None, Reason.NOT_TOLD),
        ([False, False], False, Reason.UNLIMITED),
        ([False, True], True, Reason.LIMITED),
    ],
)
def test_a_service_is_capped_where_any_node_holds_it(
    told: list[bool], so: bool | None, reason: Reason
) -> None:
    found = capped(NodeReport(capped=one) for one in told)
    assert (found.so, found.reason) == (so, reason)


@pytest.mark.parametrize(
    ("told", "so", "reason"),
    [
        ([], None, Reason.NOT_TOLD),
        ([None], None, Reason.NOT_MEASURED),
        ([True, None], True, Reason.OBJECTIVE_MET),
        ([True, False], False, Reason.OBJECTIVE_MISSED),
    ],
)
def test_objectives_are_met_where_every_node_that_knows_says_so(
    told: list[bool | None], so: bool | None, reason: Reason
) -> None:
    found = slo_met(NodeReport(slo_met=one) for one in told)
    assert (found.so, found.reason) == (so, reason)


def test_a_silent_engine_is_named_where_nothing_is_measured() -> None:
    silent = "prod/chat-0: http://10.0.0.9:8000/metrics doesn't answer"
    seen = node_reports(capacity({"service": "prod/chat", "silentEngine": silent})).values()
    found = slo_met(seen)
    assert (found.so, found.reason) == (None, Reason.ENGINE_SILENT)
    assert silent in found.text
    assert "workloadRef.metrics" in found.text
    assert slo_met([*seen, NodeReport(slo_met=True)]).so is True


@pytest.mark.parametrize(("told", "so"), [([], None), ([None], None), ([True], True), ([True, False], False)])
def test_one_engine_without_the_plugin_is_enough(told: list[bool | None], so: bool | None) -> None:
    assert has_plugin(NodeReport(plugin=one) for one in told) is so


SILENT = NodeReport(believed=False)


@pytest.mark.parametrize(
    ("others", "limited", "met"),
    [
        ([], None, None),
        ([NodeReport(capped=False, slo_met=True)], None, None),
        ([NodeReport(capped=True, slo_met=False)], True, False),
    ],
)
def test_a_node_that_has_fallen_silent_makes_nothing_good(
    others: list[NodeReport], limited: bool | None, met: bool | None
) -> None:
    seen = [SILENT, *others]
    assert (capped(seen).so, slo_met(seen).so) == (limited, met)
    words = {one.text for one in (capped(seen), slo_met(seen)) if one.so is None}
    assert words <= {"the agent of a node that runs pods of the service has stopped reporting"}
