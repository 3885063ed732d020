"""Every controller has one shape, so that `main` need know none of them."""

from dataclasses import replace
from typing import Any, cast

import pytest

from loadline_operator.contexts import Context
from loadline_operator.controllers import controllers
from loadline_operator.kube.controllers import Controller
from loadline_operator.kube.kinds import NODES
from loadline_operator.metrics import Metrics
from loadline_operator.options import parse
from loadline_operator.services.objects.defaults import Defaults


class Applier:
    requests: Any = None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def made(metrics: Metrics, *, untaints: bool = True) -> tuple[Controller[Any], ...]:
    context = Context(
        applier=cast(Any, Applier()), metrics=metrics, journal=cast(Any, None), system_namespace="system"
    )
    options = replace(parse([]), removes_startup_taint=untaints, policy_namespaces=("team",))
    return controllers(context, options, defaults=Defaults())


async def test_each_has_a_name_of_its_own_by_which_metrics_count_it(metrics: Metrics) -> None:
    names = [one.name for one in made(metrics)]
    assert len(set(names)) == len(names) == 5
    text = metrics.text().decode()
    for name in names:
        assert f'loadline_operator_reconciles_total{{loop="{name}",result="failed"}} 0.0' in text


async def test_each_watches_something_and_no_kind_twice(metrics: Metrics) -> None:
    for one in made(metrics):
        kinds = [watched.kind for watched in one.watched]
        assert kinds
        assert len(set(kinds)) == len(kinds), one.name


async def test_whoever_waits_for_an_answer_of_the_api_server_says_for_which(metrics: Metrics) -> None:
    unanswered = {one.name: one.unanswered for one in made(metrics)}
    assert unanswered["documents"] == "the API server has not listed the policies yet in team"
    assert unanswered["services"].startswith("the API server has not answered yet whether ")
    assert [one for one in unanswered.values() if not one] == [""] * 3


async def test_before_anything_was_told_there_is_nothing_to_look_at(metrics: Metrics) -> None:
    for one in made(metrics):
        one.wake()
    assert not metrics.registry.get_sample_value("loadline_operator_queue_objects", {"loop": "domains"})


async def test_nodes_are_untainted_only_where_it_is_asked_for(metrics: Metrics) -> None:
    without = made(metrics, untaints=False)
    assert "nodes" not in [one.name for one in without]
    assert len(made(Metrics())) == len(without) + 1
    assert any(watched.kind is NODES for one in without for watched in one.watched)
