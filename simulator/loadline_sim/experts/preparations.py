"""
What a study computes once and then replays many times: accesses, predictions, and how good these are.
"""

from dataclasses import dataclass

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.experts import policies, predictors
from loadline_sim.experts.decode_steps import accesses_of
from loadline_sim.experts.policies import Workload
from loadline_sim.experts.predictors import PREDICTORS
from loadline_sim.experts.routings import Marks, Routing, halves
from loadline_sim.experts.settings import MOST_CELLS, Settings

KNOWS_NO_FIRST_LAYER = "co-activation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A predictor's recall on the half that it hasn't seen: by layer, NaN where it predicts nothing."""

    predictor: str
    by_layer: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the layers for which it predicts anything."""
        return float(np.nanmean(self.by_layer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The two halves of a routing, the workload of the second, and each predictor's accuracy on it."""

    learned: Routing
    asked: Routing
    workload: Workload
    accuracies: tuple[Accuracy, ...]


def prepare(routing: Routing, settings: Settings) -> Prepared:
    """Split the routing, train the predictors; InvalidInput if the routing is too small or too large."""
    _check_size(routing, settings)
    learned, asked = halves(routing, seed=settings.seed)
    accesses = accesses_of(asked, batch=settings.batch)
    scores = {name: predict(learned, asked) for name, predict in PREDICTORS.items()}
    count = routing.experts_per_token
    workload = Workload(
        accesses=accesses,
        predicted={
            name: predictors.predicted_keys(each, accesses, count=count) for name, each in scores.items()
        },
        layer_demand=policies.layer_demand(
            accesses_of(learned, batch=settings.batch), window=max(settings.queued, 1)
        ),
        queued_until=policies.queued_until(accesses, queued=settings.queued),
    )
    accuracies = tuple(_accuracy(name, each, asked) for name, each in scores.items())
    return Prepared(learned=learned, asked=asked, workload=workload, accuracies=accuracies)


def _accuracy(name: str, scores: Marks, asked: Routing) -> Accuracy:
    by_layer = predictors.recall(scores, asked)
    if name == KNOWS_NO_FIRST_LAYER:
        by_layer[0] = np.nan
    return Accuracy(predictor=name, by_layer=tuple(by_layer.tolist()))


def _check_size(routing: Routing, settings: Settings) -> None:
    requests = int(routing.sequences.size)
    if requests < 2:
        raise InvalidInput(
            f"{routing.name}: the number of requests",
            requests,
            fix="give two or more: one half is learned from",
        )
    replayed = requests - requests // 2
    if settings.batch > replayed:
        raise InvalidInput(
            "--batch", settings.batch, fix=f"{replayed} requests are replayed: give at most that many"
        )
    cells = routing.tokens * routing.model_experts
    if cells > MOST_CELLS:
        most = MOST_CELLS // routing.model_experts
        raise InvalidInput(
            f"{routing.name}: the number of tokens", routing.tokens, fix=f"use `--tokens {most}`"
        )
