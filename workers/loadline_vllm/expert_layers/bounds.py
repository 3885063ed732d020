"""
The bound on one layer's routing: what is left of its router's choice when no expert may exceed its capacity.

A batch below `min_tokens`, a mode that only observes, and a γ that bounds nothing all give capacities that
every load fits, so that the router's own ids and weights come out unchanged, without a branch.

Where Dynamo traces the router, all strategies that the layer carries are computed and tensors select one.
Where Python runs, only the strategy in force is computed; that is decided on the host, which is safe because
no captured graph has a batch that is large enough to be bounded.

Thresholds are the exception: they hold for batches of every size, so a layer whose graphs are captured
doesn't carry them. They are made when settings come that put them in force, of the scores that were counted
before, and change only with the next such settings.
"""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import Tensor, nn

from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_vllm.expert_layers import strategies
from loadline_vllm.expert_layers.layer_placements import LayerPlacement
from loadline_vllm.expert_layers.probes import Bypass
from loadline_vllm.expert_layers.selections import RouterRule, scores_of
from loadline_vllm.expert_layers.strategies import NO_EXCESS, Batch, Bounded, Strategy
from loadline_vllm.experts import calibrations, counters
from loadline_vllm.experts.capacities import capacities, real_tokens
from loadline_vllm.experts.dropped_slots import DroppedSlot, ids_for
from loadline_vllm.experts.priorities import Metric, Ranking
from loadline_vllm.experts.routings import Chosen

OUTCOMES = ("bounded_batches", "tokens", "offered", "dropped", "rerouted", "without_expert")

LEAST_PAIRS = 64
"""Pairs of a layer for each of its experts, in the mean, from which on thresholds are made. Chosen."""


class LayerBound(nn.Module):
    """The settings of the bound, as tensors that change in place, and what it has done since `clear`.

    `refused` has the strategies that the layer can't carry, and why. `local` has the ids of the experts
    that a token may get without a message to another rank; none where `expanded` is refused. `excess` is the
    most pairs by which any expert, or rank, has exceeded its capacity. `histogram` has the scores of all
    large batches that were routed while thresholds were set in mode observe, since the engine started.
    """

    gamma: Tensor
    metric: Tensor
    seed: Tensor
    rounds: Tensor
    strategy: Tensor
    calibrating: Tensor
    thresholds: Tensor
    histogram: Tensor
    outcomes: Tensor
    excess: Tensor
    local: Tensor

    def __init__(
        self,
        rule: RouterRule,
        *,
        experts: int,
        slot: DroppedSlot,
        most_rounds: int,
        traced: bool,
        device: torch.device,
        local: Tensor | None = None,
        refused: Mapping[str, Bypass] | None = None,
    ) -> None:
        super().__init__()
        self.rule, self.slot, self.most_rounds, self.traced = rule, slot, most_rounds, traced
        self.refused = dict(refused or {})
        for name in ("gamma", "metric", "seed", "rounds", "strategy", "calibrating", "excess"):
            value = torch.zeros((), dtype=torch.int64, device=device)
            self.register_buffer(name, value, persistent=False)
        local = torch.arange(experts) if local is None else local
        for name, value in {
            "local": local.to(device),
            "thresholds": torch.full((experts,), calibrations.KEEPS_ALL, device=device),
            "histogram": torch.zeros((experts, calibrations.BINS), dtype=torch.int64, device=device),
            "outcomes": torch.zeros(len(OUTCOMES), dtype=torch.int64, device=device),
        }.items():
            self.register_buffer(name, value, persistent=False)
        self._hold(ExpertsSettings())

    def hold(self, settings: ExpertsSettings, placement: LayerPlacement) -> None:
        """Take the settings from the layer's next step on."""
        self._hold(settings)
        if self.bounds_all_sizes:
            self._make_thresholds(settings.gamma_thousandths, placement)

    @property
    def refusal(self) -> Bypass | None:
        """Why the strategy that was set last can't be in force, in whatever mode; asks the device."""
        if self.now is Strategy.THRESHOLD and "threshold" not in self.refused:
            return None if self._is_calibrated() else Bypass.NOT_CALIBRATED
        return self.refused.get(self.now_named)

    def _is_calibrated(self) -> bool:
        return int(self.histogram.sum()) >= LEAST_PAIRS * len(self.thresholds)

    def _hold(self, settings: ExpertsSettings) -> None:
        self.now_named = settings.strategy
        carried = settings.strategy not in self.refused
        ready = settings.strategy != "threshold" or self._is_calibrated()
        bounding = carried and ready and settings.bounds
        self.now = Strategy[settings.strategy.upper()]
        self.now_rounds = min(settings.rounds, self.most_rounds) if settings.strategy == "reroute" else 1
        self.now_bounding = bounding
        self.now_calibrating = carried and settings.strategy == "threshold" and settings.mode == "observe"
        by_capacity = bounding and self.now is not Strategy.THRESHOLD
        self.gamma.fill_(settings.gamma_thousandths if by_capacity else UNBOUNDED_THOUSANDTHS)
        self.metric.fill_(Metric[settings.metric.upper()].value)
        self.rounds.fill_(self.now_rounds)
        self.strategy.fill_(self.now.value if bounding else Strategy.DROP.value)
        self.calibrating.fill_(self.now_calibrating)

    def _make_thresholds(self, gamma_thousandths: int, placement: LayerPlacement) -> None:
        pairs = self.histogram.sum()
        bounds = capacities(
            placement.replicas,
            gamma_thousandths=torch.full_like(pairs, gamma_thousandths),
            tokens=pairs,
            top_k=1,
        )
        self.thresholds.copy_(calibrations.thresholds(self.histogram, bounds))

    def clear(self) -> None:
        """Count from 0 again; what thresholds are made of stays."""
        self.outcomes.zero_()
        self.excess.fill_(NO_EXCESS)

    def forget(self) -> None:
        """Count scores from 0 again."""
        self.histogram.zero_()

    def read(self) -> dict[str, int | None]:
        """What the bound has done, as plain numbers; `excess` is None before a capacity was in force."""
        found, excess = dict(zip(OUTCOMES, self.outcomes.tolist(), strict=True)), int(self.excess)
        return {**found, "excess": excess if excess > NO_EXCESS else None}

    @property
    def bounds_all_sizes(self) -> bool:
        """Whether batches that are known to be small are bounded too."""
        return self.now_bounding and self.now is Strategy.THRESHOLD

    def digest(self) -> str | None:
        """What the thresholds in force are known by; None where none are."""
        if not self.bounds_all_sizes:
            return None
        return sha256(self.thresholds.cpu().numpy().tobytes()).hexdigest()[:16]

    def constrain(
        self,
        own: Chosen,
        ids: Tensor,
        weights: Tensor,
        *,
        logits: Tensor,
        placement: LayerPlacement,
        min_tokens: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The weights and the ids for the kernel, of the types that the router gave."""
        if not (self.traced or self.now_bounding or self.now_calibrating):
            return weights, ids
        batch = Batch(
            own=own,
            scores=scores_of(logits, self.rule),
            rule=self.rule,
            ranking=Ranking(metric=self.metric, seed=self.seed),
            placement=placement,
            gamma=self.gamma,
            min_tokens=min_tokens,
        )
        if self.traced or self.now_calibrating:
            self._calibrate(batch)
        if not (self.traced or self.now_bounding):
            return weights, ids
        bounded = self._bounded_by_tensors(batch) if self.traced else self._bounded_by_host(batch)
        self._count(batch, bounded)
        left = bounded.left
        return (
            left.weights.to(weights.dtype).contiguous(),
            ids_for(left, ids, self.slot).contiguous(),
        )

    def _calibrate(self, batch: Batch) -> None:
        found = calibrations.counted(batch.own, batch.own_scores, experts=len(self.thresholds))
        self.histogram.add_(self.calibrating * (real_tokens(batch.own.offered) >= batch.min_tokens) * found)

    def _bounded_by_host(self, batch: Batch) -> Bounded:
        """By the strategy in force alone."""
        match self.now:
            case Strategy.RANK_DROP:
                return strategies.by_rank(batch)
            case Strategy.EXPANDED:
                return strategies.expanded(batch, local=self.local)
            case Strategy.THRESHOLD:
                return strategies.by_thresholds(batch, thresholds=self.thresholds)
            case _:
                return strategies.by_expert(batch, rounds=self.rounds, most_rounds=self.now_rounds)

    def _bounded_by_tensors(self, batch: Batch) -> Bounded:
        """By each strategy that the layer carries, of which a tensor selects one."""
        found = strategies.by_expert(batch, rounds=self.rounds, most_rounds=self.most_rounds)
        others = {Strategy.RANK_DROP: strategies.by_rank(batch)}
        if "expanded" not in self.refused:
            others[Strategy.EXPANDED] = strategies.expanded(batch, local=self.local)
        if "threshold" not in self.refused:
            others[Strategy.THRESHOLD] = strategies.by_thresholds(batch, thresholds=self.thresholds)
        for strategy, other in others.items():
            found = strategies.selected(self.strategy == strategy.value, other, found)
        return found

    def _count(self, batch: Batch, bounded: Bounded) -> None:
        own, found = batch.own, counters.outcome(batch.own, bounded.left)
        tokens = real_tokens(own.offered)
        bounding = batch.is_bounded | ((self.strategy == Strategy.THRESHOLD.value) & (tokens > 0))
        one = torch.ones_like(found.dropped)
        outcome = torch.stack(
            (one, tokens, own.offered.sum(), found.dropped, found.rerouted, found.without_expert)
        )
        self.outcomes.add_(bounding * outcome)
        worse = torch.where(bounding, torch.maximum(self.excess, bounded.excess), self.excess)
        self.excess.copy_(worse)
