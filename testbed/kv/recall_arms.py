"""
Arms of a recall benchmark: what happens to the KV memory of all requests of a run.

An arm names a policy of the plugin, which itself reduces what is held, or two that it hasn't: `full`, which
keeps everything, and `oracle`, which keeps what will be asked. The oracle knows the marks and instructions of
a prompt, not its queries. A guard spares parts of a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.spans import Spans
from loadline_vllm.retention import gates
from loadline_vllm.retention.reductions import REDUCTIONS
from loadline_vllm.retention.scores import choosing
from testbed.kv.recall_memories import UNQUANTIZED, Choice, LayerReductions
from testbed.kv.recall_models import DIRECTORY, HEAD, KV_HEADS, LAYERS
from testbed.kv.recall_tasks import Sample, needed_positions

BUFFER_TOKENS: Final = 32
GATES: Final = DIRECTORY.with_name("recall_gates") / "gates.safetensors"
"""Gates that are committed: not in the model's folder, where engines take each such file for weights."""
ORACLE, TRIMKV, FULL = "oracle", "trimkv", "full"


class Guard(StrEnum):
    """How parts of a prompt are spared."""

    NONE = "none"
    PROTECT = "protect"
    """The first part, the system's, keeps all of its tokens."""
    FAIR = "fair"
    """All parts lose equal shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What happens to the KV memory: a policy with a budget, `full` without one; quantized below 16 bits."""

    policy: str = FULL
    kept_tokens: int | None = None
    bits: int = UNQUANTIZED
    guard: Guard = Guard.NONE
    gates: Path | None = None

    def __post_init__(self) -> None:
        policies = sorted({FULL, ORACLE, TRIMKV, *REDUCTIONS})
        if self.policy not in policies:
            raise InvalidInput("policy", self.policy, fix=f"use one of {', '.join(policies)}")
        if (self.policy == FULL) != (self.kept_tokens is None):
            raise InvalidInput("kept_tokens", self.kept_tokens, fix="give a budget unless the policy is full")
        if (self.policy == TRIMKV) != (self.gates is not None):
            raise InvalidInput("gates", self.gates, fix="give a file of gates with trimkv, and only then")
        if self.bits not in (4, 8, UNQUANTIZED):
            raise InvalidInput("bits", self.bits, fix="use 4, 8, or 16 for what isn't quantized")

    @property
    def budget(self) -> Budget | None:
        if self.kept_tokens is None:
            return None
        return Budget(kept_tokens=self.kept_tokens, buffer_tokens=BUFFER_TOKENS, block_tokens=BUFFER_TOKENS)

    def kv_bytes(self, computed_tokens: int) -> int:
        """Bytes of keys and values that a request of so many tokens holds at most."""
        held = computed_tokens
        if self.budget is not None:
            held = min(held, self.budget.kept_tokens + BUFFER_TOKENS)
        scales = 0 if self.bits == UNQUANTIZED else 2 * 16  # a scale and an offset, in 16 bits each
        return held * LAYERS * KV_HEADS * 2 * (HEAD * self.bits + scales) // 8


def choice_of(samples: Sequence[Sample], arm: Arm, *, model: Path) -> Choice | None:
    """Which tokens of each sample stay; None where all do. Gates are refused unless they are the model's."""
    if arm.kept_tokens is None:
        return None
    return Choice(
        kept_tokens=arm.kept_tokens,
        reductions=_reductions_of(samples, arm, model=model),
        spans=[_spans_of(sample, arm.guard) for sample in samples],
    )


def _spans_of(sample: Sample, guard: Guard) -> Spans:
    match guard:
        case Guard.NONE:
            return Spans()
        case Guard.PROTECT:
            return Spans(protected=sample.parts[:1])
        case Guard.FAIR:
            return Spans(fair=sample.parts)


def _reductions_of(samples: Sequence[Sample], arm: Arm, *, model: Path) -> list[LayerReductions]:
    if arm.policy == ORACLE:
        return [_oracle(sample) for sample in samples]
    if arm.gates is not None:
        trained = gates.GateScores(gates.load(arm.gates, fingerprint=gates.fingerprint_of(model)))
        return [lambda layer, at: choosing(trained(f"layers.{layer}.", at))] * len(samples)
    return [lambda _layer, _at: REDUCTIONS[arm.policy]] * len(samples)


def _oracle(sample: Sample) -> LayerReductions:
    """What will be asked first, then the latest."""
    needed = torch.tensor(needed_positions(sample.context))

    def score(_keys: torch.Tensor, _values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return positions + 1e6 * torch.isin(positions, needed)

    return lambda _layer, _computed_tokens: choosing(score)
