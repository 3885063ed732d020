"""What travels with a request is what the scheduler wrote; what a client asks for is checked."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as tried
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.spans import Span, Spans
from loadline_vllm.retention.request_budgets import (
    BUDGET,
    FAIR,
    PROTECT,
    EngineRetention,
    RequestRetention,
    asked_spans,
    given,
    written,
)

ENGINE = EngineRetention(
    policy="streaming", buffer_tokens=32, block_tokens=32, sink_tokens=4, recent_tokens=8, engine_name="ab12c"
)
NAME = ENGINE.engine_name


@tried(
    st.integers(1, 50),
    st.lists(st.integers(0, 10_000), max_size=8, unique=True).map(sorted),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
def test_ranks_read_what_the_scheduler_wrote(blocks: int, ends: list[int], others: dict[str, Any]) -> None:
    spans = tuple(map(Span, ends[::2], ends[1::2]))
    retention = RequestRetention(ENGINE.budget(32 * blocks), Spans(protected=spans[:2], fair=spans[2:]))
    arguments = written(others, retention, engine_name=NAME)
    assert given(arguments, ENGINE) == retention
    assert arguments is not None
    assert others.items() <= arguments.items()


def test_a_client_gives_itself_no_budget() -> None:
    for forgery in (64, "x", 33, [NAME + "x", 64], ["", 64], [NAME], [64, NAME], {NAME: 64}):
        assert given({BUDGET: forgery}, ENGINE) is None
    forged = {BUDGET: 64, PROTECT: [0, 5], "other": 1}
    assert written(forged, None, engine_name=NAME) == {"other": 1}
    assert given(
        written(forged, RequestRetention(ENGINE.budget(128)), engine_name=NAME), ENGINE
    ) == RequestRetention(ENGINE.budget(128))


@pytest.mark.parametrize("arguments", [None, {}, {"other": 1}])
def test_a_request_without_a_budget_keeps_all(arguments: dict[str, Any] | None) -> None:
    assert given(arguments, ENGINE) is None


def test_a_service_protects_the_beginning_up_to_the_first_span_of_a_client() -> None:
    arguments = {PROTECT: [40, 50], FAIR: [60, 80, 80, 90]}
    found = asked_spans(arguments, prompt_tokens=100, kept_tokens=200, protected_prefix=64)
    assert found == Spans(protected=(Span(0, 40), Span(40, 50)), fair=(Span(60, 80), Span(80, 90)))


def test_a_prefix_takes_no_more_than_half_of_what_is_kept() -> None:
    found = asked_spans(None, prompt_tokens=500, kept_tokens=96, protected_prefix=64)
    assert found == Spans(protected=(Span(0, 48),))


def test_a_short_prompt_is_protected_as_a_whole() -> None:
    found = asked_spans(None, prompt_tokens=10, kept_tokens=64, protected_prefix=64)
    assert found == Spans(protected=(Span(0, 10),))


@pytest.mark.parametrize(
    "positions", [[1], "0,5", 7, [0, 5.5], [0, "5"], [True, False], [5, 2], [0, 101], [-1, 4], [0, 90]]
)
def test_spans_of_nonsense_are_refused(positions: object) -> None:
    with pytest.raises(InvalidInput):
        asked_spans({PROTECT: positions}, prompt_tokens=100, kept_tokens=64, protected_prefix=0)


def test_a_budget_must_have_room_beside_what_always_stays() -> None:
    engine = replace(ENGINE, recent_tokens=16)
    with pytest.raises(InvalidInput, match="keep twice the 20 that always stay"):
        engine.budget(32)


def test_a_buffer_off_the_block_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="multiple of the block size"):
        EngineRetention(policy="random", buffer_tokens=40, block_tokens=32)
