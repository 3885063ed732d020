"""Retention on all nodes of a service: sums of counters, the smallest budget, the gravest reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.kv_cache import AdmissionStatus, KvCacheStatus
from loadline_api.kv_retention_status import GRAVEST_FIRST, MOST_ADVICE, RetentionStatus
from loadline_api.quantities import MOST_COUNTED
from loadline_operator.services.facts.kv_memories import put_together
from loadline_operator.services.facts.node_figures import gravest
from loadline_operator.services.facts.node_reports import NodeReport
from loadline_operator.services.facts.retention_counts import BY_WORD

COUNTS = st.integers(0, MOST_COUNTED)
FIGURES = ("budget_tokens", "bounded_requests", "folded_tokens", "refused_spans", "prefix_hit_percent")
REPORTED = st.fixed_dictionaries(
    {
        "engines": COUNTS,
        "bounding_engines": COUNTS,
        **dict.fromkeys(FIGURES, st.none() | COUNTS),
        "reason": st.none() | st.sampled_from([*BY_WORD]) | st.text(max_size=64),
        "advice": st.none() | st.text(max_size=MOST_ADVICE),
    }
).map(RetentionStatus.model_validate)


def node(**retention: Any) -> NodeReport:
    return NodeReport(kv_cache=KvCacheStatus(retention=RetentionStatus(**{"engines": 1, **retention})))


def together(*nodes: NodeReport, before: KvCacheStatus | None = None) -> RetentionStatus:
    found = put_together(nodes, before)
    assert found is not None
    assert found.retention is not None
    return found.retention


def test_counters_are_added_up_and_the_budget_is_the_smallest() -> None:
    found = together(
        node(
            bounding_engines=1,
            budget_tokens=1024,
            bounded_requests=40,
            folded_tokens=9000,
            prefix_hit_percent=12,
            reason="Bounded",
        ),
        node(
            bounding_engines=1,
            budget_tokens=512,
            bounded_requests=2,
            refused_spans=1,
            prefix_hit_percent=3,
            reason="LastRung",
            advice="set kvCache.dtype to fp8",
        ),
    )
    assert found == RetentionStatus(
        engines=2,
        bounding_engines=2,
        budget_tokens=512,
        bounded_requests=42,
        folded_tokens=9000,
        refused_spans=1,
        prefix_hit_percent=12,
        reason="LastRung",
        advice="set kvCache.dtype to fp8",
    )


def test_one_part_of_the_kv_memory_may_be_reported_without_the_other() -> None:
    silent = NodeReport(believed=False, kv_cache=KvCacheStatus(retention=RetentionStatus(engines=1)))
    assert put_together((silent, NodeReport(kv_cache=KvCacheStatus()))) is None
    admission = NodeReport(kv_cache=KvCacheStatus(admission=AdmissionStatus(engines=1)))
    assert put_together((admission,)) == KvCacheStatus(admission=AdmissionStatus(engines=1))
    both = KvCacheStatus(admission=AdmissionStatus(engines=1), retention=RetentionStatus(engines=1))
    assert put_together((admission, node())) == both


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("Bounded", "NoPressure"), "NoPressure"),
        (("MemoryShort", "NotAllowed", "EngineUnable"), "EngineUnable"),
        (("LastRung", "OfALaterVersion"), "OfALaterVersion"),
        (("Observing", "OfALaterVersion"), "Observing"),
    ],
    ids=str,
)
def test_the_gravest_reason_is_shown(words: tuple[str, ...], shown: str) -> None:
    assert gravest(words, GRAVEST_FIRST) == gravest(words[::-1], GRAVEST_FIRST) == shown


def test_small_moves_of_figures_leave_the_status_as_it_stands() -> None:
    before = KvCacheStatus(retention=together(node(folded_tokens=100, prefix_hit_percent=10)))
    assert put_together([node(folded_tokens=110, prefix_hit_percent=15)], before) == before
    moved = together(node(folded_tokens=110, prefix_hit_percent=25))
    assert put_together([node(folded_tokens=110, prefix_hit_percent=25)], before) == KvCacheStatus(
        retention=moved
    )


@given(st.lists(REPORTED, min_size=1, max_size=5), st.randoms())
def test_whatever_agents_report_makes_a_status_that_can_be_written(
    reports: list[RetentionStatus], random: Any
) -> None:
    nodes = [NodeReport(kv_cache=KvCacheStatus(retention=one)) for one in reports]
    found = together(*nodes)
    assert RetentionStatus.model_validate(found.to_api()) == found
    assert len((found.reason or "").encode()) <= 64
    assert together(*random.sample(nodes, len(nodes))) == found
