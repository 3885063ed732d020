"""
The study: what each policy, each predictor and each precision buys, for a routing and a memory.

The requests are split in two halves by the seed. Predictors, and each layer's share of the slots,
come from one half; all figures come from the other, replayed once under each policy from an empty
cache. `Study` holds all figures; `loadline_sim.reports` shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadline_sim.experts import checks, policies, precisions, schedules
from loadline_sim.experts.caches import Replay
from loadline_sim.experts.policies import POLICIES, Policy
from loadline_sim.experts.precisions import PRECISIONS, Precision
from loadline_sim.experts.preparations import Prepared, prepare
from loadline_sim.experts.routings import Routing, distinct_experts
from loadline_sim.experts.schedules import Grouping
from loadline_sim.experts.settings import Settings, slots_of
from loadline_sim.progress import Progress

SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0)
"""The memories of the curves, as shares of all experts."""

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
DRAWS = 32
"""Batches drawn of each size, to count their distinct experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy with one memory. `stall_s` is what it adds to each token's time: a whole step waits."""

    policy: Policy
    slots: int
    replay: Replay
    bytes_per_token: float
    stall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionOutcome:
    """The same memory with experts of another precision, under each policy."""

    precision: Precision
    expert_bytes: float
    slots: int
    outcomes: tuple[Outcome, ...]

    def of(self, policy: str) -> Outcome:
        """The outcome of the policy of that name."""
        return next(one for one in self.outcomes if one.policy.name == policy)

    @property
    def best(self) -> Outcome:
        """The policy with the least stall of those that can be built for this kind of model."""
        return least_stall(self.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSize:
    """Distinct experts of a layer in a batch of independent tokens: measured, and if routing were uniform."""

    tokens: int
    distinct: float
    uniform: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All figures. `curves` has the outcomes at each of SHARES; outcomes are in the order of POLICIES.

    `grouped` has, by schedule, the batches that it forms when tokens are grouped by layer
    `grouped_by_layer`.
    """

    settings: Settings
    routing: Routing
    prepared: Prepared
    expert_bytes: float
    slots: int
    outcomes: tuple[Outcome, ...]
    curves: tuple[tuple[Outcome, ...], ...]
    precisions: tuple[PrecisionOutcome, ...]
    batches: tuple[BatchSize, ...]
    grouped_by_layer: int
    grouped: Mapping[str, Grouping]
    checks: Mapping[str, bool]

    @property
    def memory_bytes(self) -> float:
        return self.slots * self.expert_bytes

    @property
    def model_bytes(self) -> float:
        """Bytes of all routed experts, at the study's precision."""
        return self.routing.model_experts * self.expert_bytes

    def of(self, policy: str) -> Outcome:
        """The outcome of the policy of that name, with the study's memory."""
        return next(one for one in self.outcomes if one.policy.name == policy)

    @property
    def best(self) -> Outcome:
        """The policy with the least stall of those that can be built for this kind of model."""
        return least_stall(self.outcomes)


def run(routing: Routing, settings: Settings, progress: Progress) -> Study:
    """Run the whole study; InvalidInput if the settings don't fit the routing."""
    expert_bytes = precisions.find(settings.precision).bytes_of(settings.expert_parameters)
    slots = slots_of(settings, routing, expert_bytes=expert_bytes)
    progress("training the predictors", 0.0)
    prepared = prepare(routing, settings)
    progress("training the predictors", 1.0)
    outcomes = outcomes_of(prepared, settings, slots=slots, expert_bytes=expert_bytes)
    curves = _curves(prepared, settings, expert_bytes, progress)
    by_precision = _by_precision(prepared, settings, slots * expert_bytes, progress)
    progress("forming batches", 0.0)
    layer = routing.layers // 2
    grouped = _grouped(prepared.asked, settings, layer)
    progress("forming batches", 1.0)
    return Study(
        settings=settings,
        routing=routing,
        prepared=prepared,
        expert_bytes=expert_bytes,
        slots=slots,
        outcomes=outcomes,
        curves=curves,
        precisions=by_precision,
        batches=batch_sizes(prepared.asked, seed=settings.seed),
        grouped_by_layer=routing.layer_numbers[layer],
        grouped=grouped,
        checks=_checked((outcomes, *curves)),
    )


def least_stall(outcomes: tuple[Outcome, ...]) -> Outcome:
    """Of the policies that can be built, the one with the least stall; of equals the first."""
    return min((one for one in outcomes if one.policy.buildable), key=lambda one: one.stall_s)


def outcomes_of(
    prepared: Prepared, settings: Settings, *, slots: int, expert_bytes: float
) -> tuple[Outcome, ...]:
    """Every policy with so many slots for experts of so many bytes."""
    return tuple(_outcome(policy, prepared, settings, slots, expert_bytes) for policy in POLICIES)


def _outcome(  # noqa: PLR0917
    policy: Policy, prepared: Prepared, settings: Settings, slots: int, expert_bytes: float
) -> Outcome:
    accesses = prepared.workload.accesses
    replay = policies.run(
        policy,
        prepared.workload,
        slots=slots,
        transfer_s=settings.transfer_s(expert_bytes),
        layer_s=settings.layer_s,
    )
    return Outcome(
        policy=policy,
        slots=slots,
        replay=replay,
        bytes_per_token=replay.loads * expert_bytes / accesses.tokens,
        stall_s=replay.stall_s / accesses.steps,
    )


def _curves(  # noqa: PLR0917
    prepared: Prepared, settings: Settings, expert_bytes: float, progress: Progress
) -> tuple[tuple[Outcome, ...], ...]:
    model = prepared.workload.accesses.model_experts
    curves = []
    for i, share in enumerate(SHARES):
        progress("replaying the policies", i / len(SHARES))
        slots = max(round(share * model), prepared.asked.layers)
        curves.append(outcomes_of(prepared, settings, slots=slots, expert_bytes=expert_bytes))
    progress("replaying the policies", 1.0)
    return tuple(curves)


def _by_precision(  # noqa: PLR0917
    prepared: Prepared, settings: Settings, memory_bytes: float, progress: Progress
) -> tuple[PrecisionOutcome, ...]:
    made = []
    for i, precision in enumerate(PRECISIONS):
        progress("comparing precisions", i / len(PRECISIONS))
        expert_bytes = precision.bytes_of(settings.expert_parameters)
        most = prepared.workload.accesses.model_experts
        slots = min(max(int(memory_bytes / expert_bytes), prepared.asked.layers), most)
        outcomes = outcomes_of(prepared, settings, slots=slots, expert_bytes=expert_bytes)
        made.append(
            PrecisionOutcome(precision=precision, expert_bytes=expert_bytes, slots=slots, outcomes=outcomes)
        )
    progress("comparing precisions", 1.0)
    return tuple(made)


def batch_sizes(routing: Routing, *, seed: int) -> tuple[BatchSize, ...]:
    """Distinct experts by batch size, of tokens drawn by `seed`; a batch isn't larger than the routing."""
    draw = np.random.default_rng(seed)
    share = routing.experts_per_token / routing.experts
    return tuple(
        BatchSize(
            tokens=size,
            distinct=float(
                np.mean(
                    [
                        distinct_experts(routing, draw.choice(routing.tokens, size, replace=False)).mean()
                        for _ in range(DRAWS)
                    ]
                )
            ),
            uniform=routing.experts * (1.0 - (1.0 - share) ** size),
        )
        for size in BATCHES
        if size <= routing.tokens
    )


def _grouped(asked: Routing, settings: Settings, layer: int) -> dict[str, Grouping]:
    return {
        name: schedules.grouping(
            asked,
            layer=layer,
            waiting=settings.waiting,
            budget=min(settings.grouped, asked.tokens),
            schedule=schedule,
            seed=settings.seed,
        )
        for name, schedule in schedules.SCHEDULES.items()
    }


def _checked(points: tuple[tuple[Outcome, ...], ...]) -> dict[str, bool]:
    replays: list[dict[str, Replay]] = [{one.policy.name: one.replay for one in point} for point in points]
    return {
        "belady_is_best": all(map(checks.none_beats_belady, replays)),
        "accesses_add_up": all(map(checks.all_accesses_are_counted, replays)),
    }
