"""Admission on all nodes of a service: sums of counters, and of shares and reasons the worst."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.kv_cache import GRAVEST_FIRST, AdmissionStatus, KvCacheStatus
from loadline_api.quantities import MOST_COUNTED
from loadline_api.reasons import Reason
from loadline_operator.services.facts.admission_counts import BY_WORD
from loadline_operator.services.facts.kv_memories import put_together
from loadline_operator.services.facts.node_figures import gravest
from loadline_operator.services.facts.node_reports import NodeReport

COUNTS = st.integers(0, MOST_COUNTED)
FIGURES = (
    *("known_requests", "predicted_peak_percent", "used_percent"),
    *("refusals", "preemptions", "preempted_tokens", "mispredicted"),
)
REPORTED = st.fixed_dictionaries(
    {
        "engines": COUNTS,
        "enforcing_engines": COUNTS,
        "warm_engines": COUNTS,
        **dict.fromkeys(FIGURES, st.none() | COUNTS),
        "reason": st.none() | st.sampled_from([*BY_WORD]) | st.text(max_size=64),
    }
).map(AdmissionStatus.model_validate)


def node(**admission: Any) -> NodeReport:
    return NodeReport(kv_cache=KvCacheStatus(admission=AdmissionStatus(**{"engines": 1, **admission})))


def together(*nodes: NodeReport, before: KvCacheStatus | None = None) -> AdmissionStatus:
    found = put_together(nodes, before)
    assert found is not None
    assert found.admission is not None
    return found.admission


def test_without_a_report_of_admission_there_is_nothing_to_show() -> None:
    silent = NodeReport(believed=False, kv_cache=KvCacheStatus(admission=AdmissionStatus(engines=1)))
    empty = NodeReport(kv_cache=KvCacheStatus())
    assert put_together(()) is put_together((NodeReport(plugin=True), silent, empty)) is None


def test_counters_are_added_up_and_shares_are_those_of_the_fullest() -> None:
    found = together(
        node(
            enforcing_engines=1,
            warm_engines=1,
            known_requests=90,
            used_percent=40,
            predicted_peak_percent=120,
            refusals=5,
            preemptions=0,
            reason="Predicting",
        ),
        node(known_requests=7, used_percent=80, refusals=2, preempted_tokens=11, reason="FewLengths"),
    )
    assert found == AdmissionStatus(
        engines=2,
        enforcing_engines=1,
        warm_engines=1,
        known_requests=7,
        predicted_peak_percent=120,
        used_percent=80,
        refusals=7,
        preemptions=0,
        preempted_tokens=11,
        mispredicted=None,
        reason=Reason.FEW_LENGTHS.value,
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), None),
        ((None, "Predicting"), "Predicting"),
        (("Predicting", "NotAllowed", "PluginFailed"), "PluginFailed"),
        (("Observing", "OfALaterVersion"), "Observing"),
        (("ReadingsUnknown", "OfALaterVersion"), "OfALaterVersion"),
        (("\x1b[31mred",), "\\x1b[31mred"),
    ],
    ids=str,
)
def test_the_gravest_reason_is_shown(words: tuple[str | None, ...], shown: str | None) -> None:
    assert gravest(words, GRAVEST_FIRST) == gravest(words[::-1], GRAVEST_FIRST) == shown


def test_each_word_that_agents_report_is_a_reason() -> None:
    assert [*BY_WORD.values()] == [*GRAVEST_FIRST]


def test_small_moves_of_figures_leave_the_status_as_it_stands() -> None:
    before = KvCacheStatus(admission=together(node(used_percent=60, refusals=100)))
    assert put_together([node(used_percent=65, refusals=110)], before) == before
    moved = put_together([node(used_percent=65, refusals=200)], before)
    assert moved == KvCacheStatus(admission=together(node(used_percent=65, refusals=200)))


def test_many_nodes_that_move_a_little_are_no_write_each() -> None:
    """A thousand nodes of a busy service: each counts on, and the status is written a few times."""
    refusals = [100] * 1000
    shown, writes = put_together([node(refusals=one) for one in refusals]), 0
    nodes = [node(refusals=one) for one in refusals]
    for at in range(0, 1000, 20):
        for number in range(at, at + 20):
            nodes[number] = node(refusals=200)
        now = put_together(nodes, shown)
        writes += now is not shown and now != shown
        shown = now
    assert writes <= 4


@given(st.lists(REPORTED, min_size=1, max_size=5))
def test_whatever_agents_report_makes_a_status_that_can_be_written(reports: list[AdmissionStatus]) -> None:
    found = together(*(NodeReport(kv_cache=KvCacheStatus(admission=one)) for one in reports))
    assert AdmissionStatus.model_validate(found.to_api()) == found
    assert len((found.reason or "").encode()) <= 64


@given(st.lists(REPORTED, min_size=1, max_size=4), st.randoms())
def test_the_order_of_nodes_changes_nothing(reports: list[AdmissionStatus], random: Any) -> None:
    nodes = [NodeReport(kv_cache=KvCacheStatus(admission=one)) for one in reports]
    assert put_together(nodes) == put_together(random.sample(nodes, len(nodes)))
