"""The plugin's scheduler beside vLLM's own, over the same requests."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from loadline_policies.kv.estimators import ByOracle
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from loadline_policies.kv.victims import VictimRule
from testbed.engines.schedulers import SteppedScheduler, facts
from testbed.engines.workloads import Asked, mixed, words

pytestmark = pytest.mark.filterwarnings("ignore")

Made = Callable[..., SteppedScheduler]

ENFORCED = Config(admission=AdmissionMode.ENFORCE, reserve_percent=10)
WORST_CASE = ENFORCED.model_copy(update={"estimator": EstimatorName.WORST_CASE})

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def knowing(stepped: SteppedScheduler, asked: list[Asked]) -> SteppedScheduler:
    """A scheduler that knows how long each request will become."""
    true = {one.request_id: min(one.output_tokens, one.most_tokens) for one in asked}
    stepped.vllm.loadline.admission.gate.ask_estimator(ByOracle(true))
    return stepped


def counts(stepped: SteppedScheduler) -> dict[str, Any]:
    found: dict[str, Any] = stepped.vllm.loadline.answer()["admission"]
    return found


def is_forgotten(stepped: SteppedScheduler) -> bool:
    """Whether nothing is remembered of single requests."""
    admission = stepped.vllm.loadline.admission
    buckets = admission.gate.estimators[EstimatorName.BUCKETS]
    return not (len(admission.shared) or admission.shared.requests or buckets._features or buckets._guesses)


@FEW
@given(
    seed=st.integers(0, 10_000),
    allowed=st.sampled_from(["off", "observe", "enforce"]),
    prefix_caching=st.booleans(),
    order=st.sampled_from(["fcfs", "priority"]),
    blocks=st.sampled_from([40, 64, 400]),
)
def test_without_leased_settings_each_step_is_vllms(
    made: Made, seed: int, allowed: str, prefix_caching: bool, order: str, blocks: int
) -> None:
    same: dict[str, Any] = {"blocks": blocks, "prefix_caching": prefix_caching, "order": order}
    asked = mixed(seed, shared_tokens=48)
    ours, theirs = made(allowed, **same), made(of_vllm=AsyncScheduler, **same)
    assert [facts(one) for one in ours.answer(asked)] == [facts(one) for one in theirs.answer(asked)]
    assert ours.answers == theirs.answers


@FEW
@given(
    seed=st.integers(0, 10_000),
    estimator=st.sampled_from(EstimatorName),
    rule=st.sampled_from(VictimRule),
    prefix_caching=st.booleans(),
)
def test_in_force_every_answer_is_vllms(
    made: Made, seed: int, estimator: EstimatorName, rule: VictimRule, prefix_caching: bool
) -> None:
    asked = mixed(seed, shared_tokens=32)
    policy = ENFORCED.model_copy(update={"estimator": estimator, "victim": rule, "initial_tokens": 16})
    ours = made(policy=policy, prefix_caching=prefix_caching)
    theirs = made(of_vllm=AsyncScheduler, prefix_caching=prefix_caching)
    ours.answer(asked)
    theirs.answer(asked)
    assert ours.answers == theirs.answers
    assert is_forgotten(ours)


@FEW
@given(seed=st.integers(0, 10_000))
def test_whoever_knows_the_lengths_preempts_none(made: Made, seed: int) -> None:
    asked = mixed(seed)
    ours = knowing(made(policy=ENFORCED), asked)
    ours.answer(asked)
    assert ours.preemptions == 0


def test_vllm_alone_preempts_in_such_a_pool(made: Made) -> None:
    theirs = made(of_vllm=AsyncScheduler)
    theirs.answer(mixed(1))
    assert theirs.preemptions > 5


def test_requests_start_in_the_order_in_which_they_came(made: Made) -> None:
    asked = mixed(3)
    ours = knowing(made(policy=ENFORCED), asked)
    started = [one.req_id for output in ours.answer(asked) for one in output.scheduled_new_reqs]
    assert started == [one.request_id for one in asked]
    assert counts(ours)["refusals"] > 0


def test_requests_that_never_fit_run_one_by_one(made: Made) -> None:
    large = [
        Asked(request_id=f"r{number}", prompt=words(str(number), 300), output_tokens=200, most_tokens=212)
        for number in range(3)
    ]
    ours = made(policy=WORST_CASE, blocks=33)
    assert max(len(output.num_scheduled_tokens) for output in ours.answer(large)) == 1
    assert [len(ours.answers[one.request_id]) for one in large] == [200] * 3


def test_in_observe_what_would_be_refused_is_counted(made: Made) -> None:
    ours = made("observe", policy=ENFORCED)
    ours.answer(mixed(4))
    found = counts(ours)
    assert found["mode"] == "observe"
    assert found["refusals"] > 0
    assert (found["known_requests"], found["is_warm"]) == (40, False)
    assert (found["running"], found["waiting"], found["used_blocks"], found["pool_blocks"]) == (0, 0, 0, 64)


def test_without_its_lease_an_engine_observes_again(made: Made) -> None:
    ours = made(policy=ENFORCED)
    assert counts(ours)["mode"] == "enforce"
    ours.vllm.loadline.hold(Config())
    assert counts(ours)["mode"] == "observe"


def test_an_engine_that_asks_for_nothing_has_no_admission(made: Made) -> None:
    ours = made("off")
    assert ours.vllm.loadline.answer() == {"off": None}
    assert "allocate_slots" not in vars(ours.vllm.kv_cache_manager)


def test_a_prefix_that_requests_share_is_counted_once(made: Made) -> None:
    asked = [
        Asked(
            request_id=f"r{number}",
            prompt=words("system", 320) + words(str(number), 8),
            output_tokens=8,
            most_tokens=8,
        )
        for number in range(9)
    ]
    exact = ENFORCED.model_copy(update={"reserve_percent": 0})
    ours = knowing(made(policy=exact, blocks=45, prefix_caching=True), asked)
    ours.add(asked[0])
    ours.step()  # a step has 256 tokens
    ours.step()
    for one in asked[1:]:
        ours.add(one)
    ours.step()
    shared = ours.vllm.loadline.admission.shared
    assert len(shared) == 20
    assert [shared.tokens(one.request_id) for one in asked[:4]] == [0, 320, 320, 320]
    assert len(ours.vllm.running) == 5  # 21 blocks, 20 shared ones, and one each; else two would be
    ours.run()
    assert ours.preemptions == 0
    assert is_forgotten(ours)


def test_aborted_requests_teach_nothing_and_are_forgotten(made: Made) -> None:
    ours = made(policy=ENFORCED, prefix_caching=True)
    for one in mixed(6, count=12, shared_tokens=64):
        ours.add(one)
    for _ in range(3):
        ours.step()
    for number in range(12):
        ours.abort(f"r{number:03}")
    ours.run()
    assert counts(ours)["known_requests"] < 3
    assert is_forgotten(ours)
