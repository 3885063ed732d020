"""
The bound on one layer's routing: what is left of its router's choice when no expert may exceed its capacity.

A batch below `min_tokens`, a mode that only observes, and a γ that bounds nothing all give capacities that
every load fits, so that the router's own ids and weights come out unchanged, without a branch.

Where Dynamo traces the router, all strategies are computed and tensors select one. Where Python runs, only
the strategy in force is computed; that is decided on the host, which is safe because no captured graph has a
batch that is large enough to be bounded.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS
from loadline_vllm.expert_layers.layer_placements import LayerPlacement
from loadline_vllm.expert_layers.selections import RouterRule, scores_of, selection_of
from loadline_vllm.experts import counters
from loadline_vllm.experts.capacities import capacities, real_tokens
from loadline_vllm.experts.dropped_slots import DroppedSlot, ids_for
from loadline_vllm.experts.drops import device_drop, token_drop
from loadline_vllm.experts.priorities import Metric, Ranking, priorities
from loadline_vllm.experts.reroutes import reroute
from loadline_vllm.experts.routings import Capped, Chosen

OUTCOMES = ("bounded_batches", "tokens", "offered", "dropped", "rerouted", "without_expert")


class _Batch(NamedTuple):
    """What a bound is computed from."""

    own: Chosen
    scores: Tensor
    ranking: Ranking
    placement: LayerPlacement
    min_tokens: Tensor

    def capacities(self, slots: Tensor, gamma: Tensor, *, most_per_token: int = 1) -> Tensor:
        """The capacity of each expert or rank, by its number of physical experts."""
        return capacities(
            slots,
            gamma_thousandths=gamma,
            tokens=real_tokens(self.own.offered),
            top_k=self.own.experts.shape[1],
            most_per_token=most_per_token,
            min_tokens=self.min_tokens,
        )

    def priorities(self) -> Tensor:
        """The priority of each pair that the router chose."""
        return priorities(self.scores.gather(1, self.own.experts), self.own.experts, self.ranking)


class _Bounded(NamedTuple):
    """What is left, and by how many pairs the fullest expert, or rank, exceeds its capacity."""

    left: Capped
    excess: Tensor


class LayerBound(nn.Module):
    """The settings of the bound, as tensors that change in place, and what it has done since `clear`.

    `excess` is the most pairs by which any expert, or rank, has exceeded its capacity.
    """

    gamma: Tensor
    metric: Tensor
    seed: Tensor
    rounds: Tensor
    by_rank: Tensor
    outcomes: Tensor
    excess: Tensor

    def __init__(
        self, rule: RouterRule, *, slot: DroppedSlot, most_rounds: int, traced: bool, device: torch.device
    ) -> None:
        super().__init__()
        self.rule, self.slot, self.most_rounds, self.traced = rule, slot, most_rounds, traced
        for name in ("gamma", "metric", "seed", "rounds", "by_rank", "excess"):
            value = torch.zeros((), dtype=torch.int64, device=device)
            self.register_buffer(name, value, persistent=False)
        outcomes = torch.zeros(len(OUTCOMES), dtype=torch.int64, device=device)
        self.register_buffer("outcomes", outcomes, persistent=False)
        self.hold(ExpertsSettings())

    def hold(self, settings: ExpertsSettings) -> None:
        """Take the settings from the layer's next step on."""
        self.now_by_rank = settings.strategy == "rank_drop"
        self.now_rounds = min(settings.rounds, self.most_rounds) if settings.strategy == "reroute" else 1
        self.now_bounding = settings.mode == "enforce"
        self.gamma.fill_(settings.gamma_thousandths if self.now_bounding else UNBOUNDED_THOUSANDTHS)
        self.metric.fill_(Metric[settings.metric.upper()].value)
        self.rounds.fill_(self.now_rounds)
        self.by_rank.fill_(self.now_by_rank)

    def clear(self) -> None:
        """Count from 0 again."""
        self.outcomes.zero_()
        self.excess.fill_(-(2**62))

    def read(self) -> dict[str, int | None]:
        """What the bound has done, as plain numbers; `excess` is None before the first bounded batch."""
        found = dict(zip(OUTCOMES, self.outcomes.tolist(), strict=True))
        return {**found, "excess": int(self.excess) if found["bounded_batches"] else None}

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
        if not self.traced and not self.now_bounding:
            return weights, ids
        batch = _Batch(
            own,
            scores_of(logits, self.rule),
            Ranking(metric=self.metric, seed=self.seed),
            placement,
            min_tokens,
        )
        bounded = self._bounded(batch)
        self._count(own, bounded, min_tokens)
        left = bounded.left
        return (
            left.weights.to(weights.dtype).contiguous(),
            ids_for(left, ids, self.slot).contiguous(),
        )

    def _bounded(self, batch: _Batch) -> _Bounded:
        if not self.traced:
            return self._by_rank(batch) if self.now_by_rank else self._by_expert(batch, self.now_rounds)
        expert, rank = self._by_expert(batch, self.most_rounds), self._by_rank(batch)
        by_rank = self.by_rank.to(torch.bool)
        left = Capped(*(torch.where(by_rank, a, b) for a, b in zip(rank.left, expert.left, strict=True)))
        return _Bounded(left, torch.where(by_rank, rank.excess, expert.excess))

    def _by_expert(self, batch: _Batch, most_rounds: int) -> _Bounded:
        own, bounds = batch.own, batch.capacities(batch.placement.replicas, self.gamma)
        if most_rounds == 1:
            left = token_drop(own, batch.priorities(), capacities=bounds)
        else:
            left = reroute(
                own,
                scores=batch.scores,
                selection=selection_of(batch.scores, self.rule),
                ranking=batch.ranking,
                capacities=bounds,
                rounds=self.rounds,
                most_rounds=most_rounds,
            )
        kept = counters.loads(left.experts, left.kept, count=bounds.shape[0])
        return _Bounded(left, (kept - bounds).max())

    def _by_rank(self, batch: _Batch) -> _Bounded:
        own, shares = batch.own, batch.placement.shares
        ranks, slots = shares.argmax(0), own.experts.shape[1]
        bounds = batch.capacities((shares > 0).sum(1), self.gamma, most_per_token=slots)
        left = device_drop(own, batch.priorities(), devices=ranks, capacities=bounds)
        kept = counters.loads(ranks[left.experts], left.kept, count=bounds.shape[0])
        return _Bounded(left, (kept - bounds).max())

    def _count(self, own: Chosen, bounded: _Bounded, min_tokens: Tensor) -> None:
        found = counters.outcome(own, bounded.left)
        tokens = real_tokens(own.offered)
        bounding = (self.gamma < UNBOUNDED_THOUSANDTHS) & (tokens >= min_tokens) & (tokens > 0)
        one = torch.ones_like(found.dropped)
        batch = torch.stack(
            (one, tokens, own.offered.sum(), found.dropped, found.rerouted, found.without_expert)
        )
        self.outcomes.add_(bounding * batch)
        worse = torch.where(bounding, torch.maximum(self.excess, bounded.excess), self.excess)
        self.excess.copy_(worse)
