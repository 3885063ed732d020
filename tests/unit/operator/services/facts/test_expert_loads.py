"""Loads of experts on all nodes of a service: means by batches, but what bounds or harms at its worst."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.experts import MOST_GAMMAS, ExpertsStatus, GammaOutlook
from loadline_api.quantities import MOST_COUNTED
from loadline_api.reasons import Reason
from loadline_operator.services.facts.expert_loads import BY_WORD, gravest, put_together
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_policies.experts.service_loads import Reason as PolicyReason

SHARES = st.integers(0, 1000)
COUNTS = st.integers(0, MOST_COUNTED)
OUTLOOKS = st.fixed_dictionaries(
    {
        "gamma_percent": st.integers(100, 10_000),
        "dropped_permille": SHARES,
        "rank_load_percent": COUNTS,
        "saving_percent": st.integers(0, 100),
    }
)
REPORTED = st.fixed_dictionaries(
    {
        "engines": COUNTS,
        "bounded_engines": COUNTS,
        "gamma_percent": st.none() | COUNTS,
        "layers": COUNTS,
        "left_alone_layers": COUNTS,
        "batches": COUNTS,
        "expert_load_percent": st.none() | COUNTS,
        "rank_load_percent": st.none() | COUNTS,
        "gammas": st.lists(OUTLOOKS, max_size=MOST_GAMMAS, unique_by=lambda row: row["gamma_percent"]),
        "dropped_permille": st.none() | SHARES,
        "without_expert_permille": st.none() | SHARES,
        "canary_drift_millinats": st.none() | COUNTS,
        "reason": st.none() | st.sampled_from([*BY_WORD]) | st.text(max_size=64),
    }
).map(ExpertsStatus.model_validate)


def node(**experts: Any) -> NodeReport:
    return NodeReport(experts=ExpertsStatus(engines=1, **experts))


def row(gamma: int, dropped: int) -> GammaOutlook:
    return GammaOutlook(
        gamma_percent=gamma, dropped_permille=dropped, rank_load_percent=gamma, saving_percent=5
    )


def together(*nodes: NodeReport) -> ExpertsStatus:
    found = put_together(nodes)
    assert found is not None
    return found


def test_without_a_report_of_experts_there_are_no_loads() -> None:
    silent = NodeReport(believed=False, experts=ExpertsStatus(engines=1))
    assert put_together(()) is put_together((NodeReport(plugin=True), silent)) is None


def test_a_node_counts_in_proportion_to_its_batches() -> None:
    found = together(
        node(batches=300, expert_load_percent=200, rank_load_percent=120, gammas=(row(125, 40),)),
        node(batches=100, expert_load_percent=400, rank_load_percent=160, gammas=(row(125, 80),)),
        node(batches=0, expert_load_percent=9000, gammas=(row(125, 900),)),
    )
    assert (found.expert_load_percent, found.rank_load_percent) == (250, 130)
    assert found.gammas == (row(125, 50),)
    assert (found.engines, found.batches) == (3, 400)


def test_a_gamma_that_one_plugin_computes_is_the_mean_of_that_one() -> None:
    found = together(
        node(batches=100, gammas=(row(125, 40), row(150, 10))), node(batches=100, gammas=(row(125, 60),))
    )
    assert found.gammas == (row(125, 50), row(150, 10))


def test_layers_are_those_of_the_model_and_no_sum_over_nodes() -> None:
    found = together(node(layers=24, left_alone_layers=2), node(layers=24, left_alone_layers=2))
    assert (found.layers, found.left_alone_layers) == (24, 2)


def test_the_node_that_drops_most_is_not_hidden_by_the_others() -> None:
    found = together(
        node(bounded_engines=1, gamma_percent=150, dropped_permille=30, reason="ObjectiveMissed"),
        node(bounded_engines=1, gamma_percent=200, dropped_permille=5, without_expert_permille=9),
        node(batches=10**6, canary_drift_millinats=4, reason="ObjectiveMet"),
    )
    assert (found.bounded_engines, found.gamma_percent) == (2, 150)
    assert (found.dropped_permille, found.without_expert_permille, found.canary_drift_millinats) == (30, 9, 4)
    assert found.reason == "ObjectiveMissed"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), None),
        ((None, "ObjectiveMet"), "ObjectiveMet"),
        (("CoolingDown", "GuardBreached", "ReadingsUnknown"), "GuardBreached"),
        (("GuardBreached", "OfALaterVersion"), "GuardBreached"),
        (("ReadingsUnknown", "OfALaterVersion"), "OfALaterVersion"),
        (("\x1b[31mred",), "\\x1b[31mred"),
    ],
    ids=str,
)
def test_the_gravest_reason_is_shown(words: tuple[str | None, ...], shown: str | None) -> None:
    assert gravest(ExpertsStatus(reason=word) for word in words) == shown
    assert gravest(ExpertsStatus(reason=word) for word in reversed(words)) == shown


def test_the_guard_is_graver_than_all_else() -> None:
    assert next(iter(BY_WORD)) == Reason.GUARD_BREACHED.value


def test_each_word_of_a_policy_is_a_reason_of_the_api() -> None:
    assert {*BY_WORD} == {one.value for one in PolicyReason}


@given(st.lists(REPORTED, min_size=1, max_size=5))
def test_whatever_agents_report_makes_a_status_that_can_be_written(
    reports: list[ExpertsStatus],
) -> None:
    found = together(*(NodeReport(experts=one) for one in reports))
    assert ExpertsStatus.model_validate(found.to_api()) == found
    assert len(found.gammas) <= MOST_GAMMAS
    assert len((found.reason or "").encode()) <= 64


@given(st.lists(REPORTED, min_size=1, max_size=4), st.randoms())
def test_the_order_of_nodes_changes_nothing(reports: list[ExpertsStatus], random: Any) -> None:
    nodes = [NodeReport(experts=one) for one in reports]
    shuffled = random.sample(nodes, len(nodes))
    assert put_together(nodes) == put_together(shuffled)


@given(REPORTED)
def test_one_nodes_loads_are_the_services(report: ExpertsStatus) -> None:
    found = together(NodeReport(experts=report))
    if report.batches:
        assert found.gammas == tuple(sorted(report.gammas, key=lambda one: one.gamma_percent))
        assert found.expert_load_percent == report.expert_load_percent
    assert (found.engines, found.gamma_percent) == (report.engines, report.gamma_percent)
