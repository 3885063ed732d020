"""The list of running requests: reordered only where vLLM may preempt, and put back afterwards."""

from types import SimpleNamespace
from typing import Any

import pytest

from loadline_policies.kv.victims import VictimRule
from loadline_vllm.admission.victim_orders import may_preempt, put_back, put_in_order


def request(name: str, *, computed: int = 16, tokens: int = 17, preempted: int = 0, **extra: Any) -> Any:
    return SimpleNamespace(
        name=name,
        num_computed_tokens=computed,
        num_tokens_with_spec=tokens,
        num_output_placeholders=0,
        num_preemptions=preempted,
        arrival_time=100.0,
        sampling_params=SimpleNamespace(extra_args=extra or None),
    )


def scheduler(*running: Any, free: int, sizes: tuple[int, ...] = (16,), budget: int = 64) -> Any:
    managers = [SimpleNamespace(block_size=size) for size in sizes]
    manager = SimpleNamespace(
        coordinator=SimpleNamespace(single_type_managers=managers),
        block_pool=SimpleNamespace(get_num_free_blocks=lambda: free),
    )
    return SimpleNamespace(
        running=[*running],
        kv_cache_manager=manager,
        num_lookahead_tokens=0,
        max_num_scheduled_tokens=budget,
    )


def names(running: list[Any]) -> str:
    return "".join(one.name for one in running)


@pytest.mark.parametrize(
    ("asked", "free", "may"),
    [
        ([request("a")], 0, True),  # its 17th token needs a block
        ([request("a")], 1, False),
        ([request("a", computed=17, tokens=18)], 0, False),
        ([request("a"), request("b")], 1, True),
        ([request("a", computed=0, tokens=64)], 3, True),
        ([request("a", computed=0, tokens=64)], 4, False),
        ([request("a", computed=0, tokens=640)], 4, False),  # no more tokens than a step has
        ([], 0, False),
    ],
)
def test_vllm_may_preempt_where_a_step_may_need_more_blocks_than_are_free(
    asked: list[Any], free: int, may: bool
) -> None:
    assert may_preempt(scheduler(*asked, free=free)) is may


def test_each_group_of_layers_needs_its_own_blocks() -> None:
    assert not may_preempt(scheduler(request("a"), free=1, sizes=(16,)))
    assert may_preempt(scheduler(request("a"), free=1, sizes=(16, 16)))


def test_the_last_is_the_one_that_a_rule_gives_up_first() -> None:
    running = [request("a", computed=10), request("b", computed=90), request("c", computed=50)]
    put_in_order(running, VictimRule.LEAST_COMPUTED)
    assert names(running) == "bca"


def test_a_request_without_a_deadline_goes_before_those_with_one() -> None:
    running = [
        request("a", loadline_deadline_ms=9_000),
        request("b"),
        request("c", loadline_deadline_ms=1_000),
        request("d", loadline_deadline_ms="nonsense", computed=3),
    ]
    put_in_order(running, VictimRule.DEADLINE)
    assert names(running) == "cabd"


def test_what_is_left_goes_back_into_the_order_of_arrival() -> None:
    before = [request(name) for name in "abcd"]
    running = [before[3], before[0], before[2], request("e")]
    put_back(running, before)
    assert names(running) == "acde"
