"""What is answered about a fleet: in proportion to its servers, and never surer than its engine's model."""

from dataclasses import replace

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.capacity import questions, sizes
from loadline_sim.capacity.engines import engine_of
from loadline_sim.capacity.objectives import Objectives
from loadline_sim.capacity.questions import Answer, Design
from loadline_sim.traffic import recordings
from loadline_sim.traffic.traces import Trace

pytestmark = pytest.mark.slow  # the loop is compiled once a machine

CHAT = recordings.azure_2023()["chat"].between(600.0, 1200.0).from_first()
ENGINE = engine_of("a100-bloom-176b")
OBJECTIVES = Objectives(ttft_s=2.0, tpot_s=0.1)


def asked(servers: int, prefill_servers: int = 0, trace: Trace = CHAT) -> Answer:
    return questions.answer(
        trace, Design(engine=ENGINE, servers=servers, prefill_servers=prefill_servers), OBJECTIVES
    )


def test_more_servers_keep_more() -> None:
    shares = [asked(servers).result.kept_share for servers in (3, 6, 12)]
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < 0.99 < shares[-1]


def test_slower_steps_make_each_latency_longer() -> None:
    answer = asked(8)
    for name in ("ttft", "tpot", "e2e"):
        fast, middle, slow = (
            getattr(one, name).p(50) for one in (answer.faster, answer.result, answer.slower)
        )
        assert fast < middle < slow


def test_prefill_apart_keeps_answers_free_of_prompts() -> None:
    together, apart = asked(8), asked(8, prefill_servers=4)
    assert apart.result.tpot.p(99) < together.result.tpot.p(99)


def test_one_request_takes_as_long_as_its_steps() -> None:
    one = Trace(np.array([0.0]), np.array([1000]), np.array([11]))
    fleet = ENGINE.fleet(1, 2048)
    answer = asked(1, trace=one)
    assert answer.result.ttft.mean == pytest.approx(fleet.prompt_s[0, 1000])
    assert answer.result.tpot.mean == pytest.approx(fleet.token_s[0, 1])


def test_the_smallest_fleet_keeps_the_objectives_and_one_less_does_not() -> None:
    found = sizes.size(CHAT, Design(engine=ENGINE, servers=1), OBJECTIVES)
    assert found.is_met
    assert found.fewest is not None
    assert found.most is not None
    assert found.fewest <= found.design.servers <= found.most
    assert asked(found.design.servers).is_met
    assert not asked(found.design.servers - 1).is_met


def test_a_split_fleet_is_sized_with_its_best_proportion() -> None:
    found = sizes.size(CHAT, Design(engine=ENGINE, servers=2), OBJECTIVES, splits=True)
    assert found.is_met
    shares = [
        asked(found.design.servers, prefill).result.kept_share for prefill in range(1, found.design.servers)
    ]
    assert max(shares) >= OBJECTIVES.share
    fewer = found.design.servers - 1
    assert all(not asked(fewer, prefill).is_met for prefill in range(1, fewer))


def test_objectives_that_no_server_keeps_are_told_without_a_search() -> None:
    impossible = replace(OBJECTIVES, ttft_s=0.05)
    found = sizes.size(CHAT, Design(engine=ENGINE, servers=1), impossible, most_servers=64)
    assert not found.is_met
    assert (found.fewest, found.most, found.design.servers) == (None, None, 64)
    assert found.alone_share < 0.5
    assert found.simulated == 3


def test_too_few_servers_are_told_with_what_they_keep() -> None:
    found = sizes.size(CHAT, Design(engine=ENGINE, servers=1), OBJECTIVES, most_servers=2)
    assert not found.is_met
    assert 0.0 < found.share < 0.99
    assert found.alone_share > 0.99


def test_a_size_without_an_objective_is_refused() -> None:
    with pytest.raises(InvalidInput, match="give at least one of ttft, tpot and e2e"):
        sizes.size(CHAT, Design(engine=ENGINE, servers=1), Objectives())


@pytest.mark.parametrize(("servers", "prefill"), [(0, 0), (2, 2), (2, -1)])
def test_a_fleet_that_is_none_is_refused(servers: int, prefill: int) -> None:
    with pytest.raises(InvalidInput, match="servers is"):
        Design(engine=ENGINE, servers=servers, prefill_servers=prefill)


def test_what_no_server_has_memory_for_is_known_before() -> None:
    trace = Trace(np.array([0.0, 1.0]), np.array([400_000, 10]), np.array([10, 10]))
    assert questions.held(trace, Design(engine=ENGINE, servers=1)).tolist() == [False, True]
    with pytest.raises(InvalidTrace, match="request 0: tokens is 400010"):
        asked(1, trace=trace)
