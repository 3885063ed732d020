"""All functions trace whole, for any number of tokens, and no setting needs another trace."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from loadline_vllm.experts import calibrations, counters, drops
from loadline_vllm.experts.capacities import capacities, real_tokens
from loadline_vllm.experts.expansions import expanded_drop
from loadline_vllm.experts.priorities import Metric, Ranking, priorities
from loadline_vllm.experts.reroutes import reroute
from loadline_vllm.experts.routings import Chosen, chosen, renormalised
from testbed.experts.cases import Case, Shape, draw

Answer = tuple[torch.Tensor, ...]
Function = Callable[..., Answer]

EXPERTS, TOP_K = 16, 2


def drop(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, bounds = _offer(case, gamma)
    ranked = priorities(case.scores.gather(1, own.experts), own.experts, ranking)
    return renormalised(drops.token_drop(own, ranked, capacities=bounds), own)


def drop_by_device(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, bounds = _offer(case, gamma)
    ranked = priorities(case.scores.gather(1, own.experts), own.experts, ranking)
    devices = torch.arange(EXPERTS) // 4
    return drops.device_drop(own, ranked, devices=devices, capacities=bounds[:4] * 4)


def drop_by_thresholds(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, bounds = _offer(case, gamma)
    scores = case.scores.gather(1, own.experts)
    histogram = calibrations.counted(own, scores, experts=EXPERTS)
    limits = calibrations.thresholds(histogram, bounds)
    return drops.threshold_drop(own, scores, thresholds=limits)


def reroute_thrice(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, bounds = _offer(case, gamma)
    return reroute(
        own,
        scores=case.scores,
        selection=case.selection,
        ranking=ranking,
        capacities=bounds,
        rounds=gamma // 500,
        most_rounds=3,
    )


def expand(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, bounds = _offer(case, gamma)
    return expanded_drop(
        own,
        scores=case.scores,
        selection=case.selection,
        ranking=ranking,
        capacities=bounds,
        local=torch.arange(4),
    )


def observe(case: Case, gamma: torch.Tensor, ranking: Ranking) -> Answer:
    own, _ = _offer(case, gamma)
    ones = torch.ones(EXPERTS, dtype=torch.int64)
    eye = torch.eye(EXPERTS, dtype=torch.float64)
    return counters.observed(own, shares=eye, replicas=ones, grid_thousandths=gamma.unsqueeze(0))


FUNCTIONS = (drop, drop_by_device, drop_by_thresholds, reroute_thrice, expand, observe)


def settings() -> Iterator[tuple[torch.Tensor, Ranking]]:
    """Several γ and metrics, each in tensors of its own."""
    for gamma in (500, 1_000, 1_500):
        for metric in Metric:
            yield torch.tensor(gamma), Ranking(metric=torch.tensor(int(metric)), seed=torch.tensor(gamma))


@pytest.fixture(autouse=True)
def _fresh_traces() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_one_trace_serves_all_settings_and_numbers_of_tokens(function: Function) -> None:
    traces = CompileCounterWithBackend("aot_eager")
    traced = torch.compile(_by_tensors(function), backend=traces, fullgraph=True, dynamic=True)
    for tokens in (17, 64, 129):
        case = draw(tokens, Shape(tokens=tokens, experts=EXPERTS, top_k=TOP_K, padding=4))
        inputs = (case.ids, case.weights, case.scores, case.selection, case.real)
        for gamma, ranking in settings():
            found = traced(*inputs, gamma, *ranking[:2])
            expected = _by_tensors(function)(*inputs, gamma, *ranking[:2])
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-6, atol=0)
    assert traces.frame_count == 1


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_nothing_waits_for_the_device(function: Function) -> None:
    """Tensors without data can't be read by the host."""
    case = draw(1, Shape(tokens=33, experts=EXPERTS, top_k=TOP_K, padding=4))
    gamma, ranking = next(settings())
    inputs = (case.ids, case.weights, case.scores, case.selection, case.real, gamma, *ranking[:2])
    shown = _by_tensors(function)(*inputs)
    with FakeTensorMode() as mode:
        empty = _by_tensors(function)(*(mode.from_tensor(tensor) for tensor in inputs))
    assert [one.shape for one in empty] == [one.shape for one in shown]


def test_a_value_that_the_host_reads_would_be_seen() -> None:
    with FakeTensorMode() as mode, pytest.raises(DataDependentOutputException):
        mode.from_tensor(torch.tensor(1)).item()


def _offer(case: Case, gamma: torch.Tensor) -> tuple[Chosen, torch.Tensor]:
    own = chosen(case.ids, case.weights, experts=EXPERTS, real=case.real)
    ones = torch.ones(EXPERTS, dtype=torch.int64)
    tokens = real_tokens(own.offered)
    return own, capacities(ones, gamma_thousandths=gamma, tokens=tokens, top_k=TOP_K)


def _by_tensors(function: Function) -> Function:
    """The function of tensors alone, as an engine's layer calls it."""

    def call(
        ids: torch.Tensor,
        weights: torch.Tensor,
        scores: torch.Tensor,
        selection: torch.Tensor,
        real: torch.Tensor,
        gamma: torch.Tensor,
        metric: torch.Tensor,
        seed: torch.Tensor,
    ) -> Answer:
        ranking = Ranking(metric=metric, seed=seed)
        case = Case(
            shape=Shape(tokens=0, experts=EXPERTS, top_k=TOP_K),
            ids=ids,
            weights=weights,
            scores=scores,
            selection=selection,
            real=real,
            ranking=ranking,
        )
        return function(case, gamma, ranking)

    return call
