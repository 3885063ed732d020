"""Which running request vLLM preempts when memory runs out, and by what rule it is counted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loadline_policies.kv.estimators import ByOracle
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_policies.kv.victims import VictimRule
from testbed.engines.schedulers import SteppedScheduler
from testbed.engines.workloads import Asked, growing, mixed

pytestmark = pytest.mark.filterwarnings("ignore")

Made = Callable[..., SteppedScheduler]

ENFORCED = Config(admission=AdmissionMode.ENFORCE)


def unaware(stepped: SteppedScheduler, asked: list[Asked]) -> SteppedScheduler:
    """A scheduler that expects each request to end at once, so that it admits more than fit."""
    lengths = dict.fromkeys((one.request_id for one in asked), 0)
    stepped.vllm.loadline.admission.gate.ask_estimator(ByOracle(lengths))
    return stepped


def by_rule(stepped: SteppedScheduler) -> dict[str, int]:
    """Preempted requests by the rule that chose them."""
    found: dict[str, int] = stepped.vllm.loadline.answer()["preemptions"]
    return {rule: number for rule, number in found.items() if number}


def first_victim(outputs: list[Any]) -> str:
    names: list[str] = [name for output in outputs for name in output.preempted_req_ids or ()]
    return names[0]


@pytest.mark.parametrize(
    ("rule", "victim"),
    [(VictimRule.NEWEST, "r2"), (VictimRule.LEAST_COMPUTED, "r1"), (VictimRule.DEADLINE, "r0")],
)
def test_a_victim_is_chosen_by_the_rule(made: Made, rule: VictimRule, victim: str) -> None:
    deadlines = {1: {"loadline_deadline_ms": 900}, 2: {"loadline_deadline_ms": 500}}
    asked = growing(60, 10, 60, extra_args=deadlines)
    ours = unaware(made(policy=ENFORCED.model_copy(update={"victim": rule}), blocks=12), asked)
    assert first_victim(ours.answer(asked)) == victim
    assert [*by_rule(ours)] == [rule.value]
    counts = ours.vllm.loadline.answer()["admission"]
    assert counts["preemptions"] == sum(by_rule(ours).values()) == ours.preemptions
    assert counts["preempted_tokens"] > 0


def test_nonsense_for_a_deadline_is_ignored_and_counted(made: Made) -> None:
    asked = growing(10, 10, extra_args={0: {"loadline_deadline_ms": "soon"}, 1: {"loadline_deadline_ms": 5}})
    ours = made(policy=ENFORCED)
    ours.answer(asked)
    assert ours.vllm.loadline.answer()["ignored_deadlines"] == 1


@pytest.mark.parametrize("allowed", ["observe", "enforce"])
def test_without_leased_settings_the_newest_is_the_victim(made: Made, allowed: str) -> None:
    asked = growing(60, 10, 60)
    ours = made(allowed, blocks=12)
    assert first_victim(ours.answer(asked)) == "r2"
    assert [*by_rule(ours)] == ["newest"]


def test_between_steps_running_requests_are_in_the_order_of_arrival(made: Made) -> None:
    asked = growing(10, 60, 20, 40)
    ours = unaware(made(policy=ENFORCED, blocks=12), asked)
    for one in asked:
        ours.add(one)
    while ours.unfinished:
        ours.step()
        fresh = [one.request_id for one in ours.vllm.running if not one.num_preemptions]
        assert fresh == sorted(fresh)
    assert [*by_rule(ours)] == ["least-computed"]


def test_under_priority_scheduling_vllm_chooses(made: Made) -> None:
    asked = [replace(one, priority=9 - number) for number, one in enumerate(growing(10, 60, 60))]
    ours = unaware(made(policy=ENFORCED, blocks=12, order="priority"), asked)
    assert first_victim(ours.answer(asked)) == "r0"
    assert [*by_rule(ours)] == ["priority"]


def test_a_request_is_not_resumed_in_the_step_in_which_it_was_preempted(made: Made) -> None:
    asked = growing(60, 10, 60)
    ours = unaware(made(policy=ENFORCED, blocks=12), asked)
    for output in ours.answer(asked):
        assert not (output.preempted_req_ids or set()) & {*output.num_scheduled_tokens}


def test_a_reset_of_the_prefix_cache_is_no_want_of_memory(made: Made) -> None:
    ours = made(policy=ENFORCED, prefix_caching=True)
    for one in mixed(5, count=4):
        ours.add(one)
    ours.step()
    running = len(ours.vllm.running)
    assert ours.vllm.reset_prefix_cache(reset_running_requests=True)
    ours.run()
    assert by_rule(ours) == {"reset": running}
    counts = ours.vllm.loadline.answer()["admission"]
    assert (counts["preemptions"], counts["preempted_tokens"]) == (0, 0)
