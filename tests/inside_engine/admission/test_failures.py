"""After a failure of the plugin's own code, scheduling is vLLM's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_policies.kv.estimators import ByOracle, Lengths
from loadline_policies.kv.lengths import Floats
from loadline_policies.kv.peaks import Ints
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_vllm.admission.labels import Off
from loadline_vllm.admission.scheduler_admissions import SchedulerAdmission
from testbed.engines.schedulers import SteppedScheduler, facts
from testbed.engines.workloads import growing, mixed

pytestmark = pytest.mark.filterwarnings("ignore")

Made = Callable[..., SteppedScheduler]

ENFORCED = Config(admission=AdmissionMode.ENFORCE)


class Broken(ByOracle):
    """An estimator that fails after some answers."""

    def __init__(self, answers: int) -> None:
        super().__init__({})
        self._left = answers

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        self._left -= 1
        if self._left < 0:
            raise ZeroDivisionError("not today")
        return np.broadcast_to(batch.produced, uniforms.shape)


@pytest.mark.parametrize("answers", [1, 8, 40])
def test_in_observe_no_step_is_another_than_vllms(made: Made, answers: int) -> None:
    ours, theirs, asked = made("observe"), made(of_vllm=AsyncScheduler), mixed(7)
    ours.vllm.loadline.admission.gate.ask_estimator(Broken(answers))
    assert [facts(one) for one in ours.answer(asked)] == [facts(one) for one in theirs.answer(asked)]
    answer = ours.vllm.loadline.answer()
    assert (answer["off"], answer["admission"]["errors"]) == (Off.FAILURE, 1)


def test_in_force_none_is_refused_any_more(made: Made) -> None:
    ours, asked = made(policy=ENFORCED), mixed(8)
    ours.vllm.loadline.admission.gate.ask_estimator(Broken(3))
    ours.answer(asked)
    assert all(ours.answers[one.request_id] for one in asked)
    ours.vllm.loadline.hold(ENFORCED)
    answer = ours.vllm.loadline.answer()
    assert (answer["off"], answer["admission"]["mode"]) == (Off.FAILURE, "observe")


HOOKS = ["begin_step", "end_step", "admits", "started", "arrived", "ended", "freed", "preempted"]


@pytest.mark.parametrize("hook", HOOKS)
def test_whichever_hook_fails_every_request_is_answered(
    made: Made, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("not today")

    monkeypatch.setattr(SchedulerAdmission, hook, broken)
    ours, theirs, asked = made(blocks=40), made(of_vllm=AsyncScheduler, blocks=40), mixed(9)
    ours.answer(asked)
    theirs.answer(asked)
    assert ours.answers == theirs.answers
    assert ours.vllm.loadline.off is Off.FAILURE


@pytest.mark.parametrize("hook", ["preempted", "freed"])
def test_a_failure_in_a_step_leaves_running_requests_in_their_order(
    made: Made, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    """Before a step in which memory may run out they are put in the order of a rule."""
    asked = growing(10, 60, 30, 60)
    ours = made(policy=ENFORCED, blocks=16)
    ours.vllm.loadline.admission.gate.ask_estimator(ByOracle({one.request_id: 0 for one in asked}))
    whole = getattr(SchedulerAdmission, hook)

    def failing(admission: SchedulerAdmission, *args: Any, **named: Any) -> Any:
        if admission._before is not None:
            before.extend(admission._before)
            raise ZeroDivisionError("not today")
        return whole(admission, *args, **named)

    before: list[Any] = []
    monkeypatch.setattr(SchedulerAdmission, hook, failing)
    for one in asked:
        ours.add(one)
    while not before:
        ours.step()
    assert ours.vllm.loadline.off is Off.FAILURE
    running = ours.vllm.running
    assert [one for one in before if one in running] == [one for one in running if one in before]
    assert len(before) > len(running) > 1


def test_a_request_whose_kv_was_not_loaded_does_not_hold_up_the_loaded(made: Made) -> None:
    """vLLM drains the queue of those that hold blocks first, and stops at its head if that gets none."""
    ours = made(policy=ENFORCED, blocks=64)
    scheduler = ours.vllm
    ours.add(mixed(3)[0])
    request = scheduler.waiting.pop_request()
    scheduler.kv_holding_waiting.add_request(request)
    assert not scheduler._holds_kv_blocks(request)
    assert scheduler._waits_with_blocks(request)
    scheduler.loadline.call(SchedulerAdmission.begin_step, None)
    assert scheduler.loadline.admission._holding == []
