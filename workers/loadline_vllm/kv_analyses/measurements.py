"""
Everything that is measured on a model and some sequences: one sequence at a time, and only sums are kept.

Each sequence runs once under full attention, while keys, values and attention are looked at, and once for
each change. Judged are the predictions from the first fold on, so that all changes are judged on the same
tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.analyses import WITH_TYPE, Findings
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.kv_formats import BY_NAME, KvShape
from loadline_vllm.kv_analyses.analysed_models import AnalysedModel
from loadline_vllm.kv_analyses.attention_masses import AttentionMasses
from loadline_vllm.kv_analyses.attentions import Attention, Retained, Rounded, States, full
from loadline_vllm.kv_analyses.drifts import DriftSums
from loadline_vllm.kv_analyses.kv_roundings import ROUNDINGS
from loadline_vllm.kv_analyses.layer_similarities import LayerSimilarities
from loadline_vllm.retention.gate_examples import Example
from loadline_vllm.retention.gates import GateScores, LayerGate
from loadline_vllm.retention.held_tokens import Reductions
from loadline_vllm.retention.reductions import REDUCTIONS, by_scores, same_everywhere

Progress = Callable[[str, float], None]
"""Receives the name of the current step, and the share of it that is done (0 to 1)."""

WHOLE_GROUPS: Final = 32
"""Head sizes are multiples of it in all models that the roundings were written for."""

TRIMKV: Final = "trimkv"
WITH_4_BITS: Final = "int4_per_token_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """The budget under which retention is measured, and what always stays."""

    budget: Budget
    sink_tokens: int
    recent_tokens: int
    gates: Sequence[LayerGate] | None = None

    @property
    def judged_from(self) -> int:
        """The first token that doesn't see all before it: the one after the first fold."""
        return self.budget.kept_tokens + self.budget.buffer_tokens


def measure(
    model: AnalysedModel, examples: Sequence[Example], plan: RetentionPlan, *, progress: Progress
) -> Findings:
    """Measure a model on sequences; InvalidInput if they don't fit it, or nothing of them could be judged."""
    first = plan.judged_from
    judged = [
        _judged(example, number, first=first, model=model) for number, example in enumerate(examples, 1)
    ]
    model.check(examples[0].ids)
    changes = changes_of(model.shape, plan)
    likenesses, masses = LayerSimilarities(), AttentionMasses()
    sums = {name: DriftSums() for name in changes}
    runs, done = len(examples) * (1 + len(changes)), 0

    def watched(layer: int, states: States) -> torch.Tensor:
        likenesses.see(layer, states)
        masses.see(layer, states)
        return full(layer, states)

    for example, places in zip(examples, judged, strict=True):
        progress("measuring", done / runs)
        own, done = model.hidden(example.ids, watched), done + 1
        following = torch.tensor(example.ids).roll(-1)
        for name, attention in changes.items():
            progress("measuring", done / runs)
            changed, done = model.hidden(example.ids, attention), done + 1
            sums[name].add(own, changed, following=following, places=places, head=model.logits)
    progress("measuring", 1.0)
    return Findings(
        likenesses=likenesses.found(),
        masses=masses.found(),
        drifts={name: one.mean() for name, one in sums.items()},
    )


def changes_of(shape: KvShape, plan: RetentionPlan) -> dict[str, Attention]:
    """Every change that is measured, by its name."""
    changes: dict[str, Attention] = {}
    if shape.head % WHOLE_GROUPS == 0:
        changes |= {name: _rounded(name, shape) for name in ROUNDINGS}
    policies: dict[str, Reductions] = {name: same_everywhere(name) for name in REDUCTIONS}
    if plan.gates is not None:
        policies[TRIMKV] = by_scores(GateScores(plan.gates))
    retained = {name: _retained(reductions, plan) for name, reductions in policies.items()}
    changes |= retained
    if WITH_4_BITS in changes:
        best = TRIMKV if TRIMKV in retained else next(iter(retained))
        changes[f"{best}{WITH_TYPE}{WITH_4_BITS}"] = _rounded(WITH_4_BITS, shape, then=retained[best])
    return changes


def _rounded(name: str, shape: KvShape, *, then: Attention = full) -> Rounded:
    kind = BY_NAME[name]
    return Rounded(ROUNDINGS[name], lambda layer: kind.spares(layer, layers=shape.layers), then)


def _retained(reductions: Reductions, plan: RetentionPlan) -> Retained:
    return Retained(plan.budget, reductions, sink_tokens=plan.sink_tokens, recent_tokens=plan.recent_tokens)


def _judged(example: Example, number: int, *, first: int, model: AnalysedModel) -> list[int]:
    """The places of a sequence whose predictions are judged."""
    tokens = len(example.ids)
    where = f"sequence {number}"
    if model.longest_tokens is not None and tokens > model.longest_tokens:
        fix = f"give sequences of at most {model.longest_tokens} tokens, as the model was made for"
        raise InvalidInput(where, f"{tokens} tokens", fix=fix)
    if max(example.ids) >= model.vocabulary:
        fix = f"give ids below {model.vocabulary}, the model's vocabulary"
        raise InvalidInput(where, max(example.ids), fix=fix)
    last = range(first, tokens - 1)
    places = (
        [place for place in example.judged if place in last] if example.judged is not None else list(last)
    )
    if not places:
        fix = (
            f"give sequences with a judged token from the first fold on, token {first}, or keep fewer tokens"
        )
        raise InvalidInput(where, f"{tokens} tokens", fix=fix)
    return places
