"""
How many recall questions are answered right when KV memory is bounded, or quantized, one arm at a time.

All samples of a task are as long, so they are computed as one batch, in chunks of a buffer's tokens with the
right answers in place. A chunk ends where a buffer does, so each query sees what it would see if it were
decoded token by token. Which tokens stay is chosen by the plugin's own scores and its own choice, when the
plugin's own budget says so; nothing here needs vLLM.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from loadline_policies.errors import InvalidInput
from testbed.kv.recall_arms import BUFFER_TOKENS, ORACLE, Arm, choice_of
from testbed.kv.recall_memories import Memory, empty, quantized
from testbed.kv.recall_models import LAYERS, RecallModel, for_each_head
from testbed.kv.recall_sequences import REFUSED
from testbed.kv.recall_tasks import Sample, Task

LEAST_ORACLE: Final = 0.97
"""Below it no policy could do well, and a figure of one would say nothing (measured once: 0.16)."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many answers were right, and which share in each part of the prompt (NaN if none was asked).

    `leaked` is the share of withheld facts whose value was told, None without any.
    """

    right: int
    asked: int
    by_part: tuple[float, ...]
    leaked: float | None

    @property
    def share(self) -> float:
        return self.right / self.asked


def accuracy(model: RecallModel, task: Task, arm: Arm) -> Accuracy:
    """How well a model answers a task in an arm."""
    asked = [
        (query, answer)
        for sample, row in zip(task.samples, answers(model, task.samples, arm), strict=True)
        for query, answer in zip(sample.queries, row, strict=True)
    ]
    parts: list[list[bool]] = [[] for _ in task.samples[0].parts]
    for query, answer in asked:
        parts[query.part].append(answer == query.answer)
    withheld = [answer == query.secret for query, answer in asked if query.answer == REFUSED]
    return Accuracy(
        right=sum(map(sum, parts)),
        asked=len(asked),
        by_part=tuple(sum(part) / len(part) if part else math.nan for part in parts),
        leaked=sum(withheld) / len(withheld) if withheld else None,
    )


def require_oracle(model: RecallModel, task: Task, *, kept_tokens: int) -> float:
    """The accuracy of a policy that keeps what is asked; InvalidInput if the task can't judge policies."""
    share = accuracy(model, task, Arm(policy=ORACLE, kept_tokens=kept_tokens)).share
    if share < LEAST_ORACLE:
        fix = f"train the model until it is {LEAST_ORACLE}: no policy can do better than what it keeps"
        raise InvalidInput(
            f"oracle accuracy of {task.name} at {kept_tokens} tokens", round(share, 3), fix=fix
        )
    return share


def answers(model: RecallModel, samples: Sequence[Sample], arm: Arm) -> list[list[int]]:
    """The most likely answer to each query of each sample."""
    with torch.inference_mode():
        return _answers(model, samples, arm)


def _answers(model: RecallModel, samples: Sequence[Sample], arm: Arm) -> list[list[int]]:
    dialogues = [sample.dialogue() for sample in samples]
    ids, judged = torch.tensor([one for one, _ in dialogues]), dialogues[0][1]
    choice = choice_of(samples, arm, model=model.directory)
    memories, found = [empty(len(samples)) for _ in range(LAYERS)], []
    for start in range(0, ids.shape[1], BUFFER_TOKENS):
        if choice is not None and arm.budget is not None:
            held = arm.budget.held_tokens(start)
            memories = [
                memory.folded(choice, layer=number, computed_tokens=start, held_tokens=held)
                for number, memory in enumerate(memories)
            ]
        positions = torch.arange(start, min(start + BUFFER_TOKENS, ids.shape[1]))
        states = model.weight("model.embed_tokens")[ids[:, positions]]
        for number in range(LAYERS):
            keys, values = model.keys_values(number, states, positions)
            keys, values = quantized(keys, bits=arm.bits), quantized(values, bits=arm.bits)
            memories[number] = memories[number].added(keys, values, positions)
            states = _attended(model, number, states, positions=positions, memory=memories[number])
        at = [position - start for position in judged if 0 <= position - start < len(positions)]
        found.append(model.predicted(states[:, at]).argmax(-1))
    answered: list[list[int]] = torch.cat(found, 1).tolist()
    return answered


def _attended(
    model: RecallModel, number: int, states: torch.Tensor, *, positions: torch.Tensor, memory: Memory
) -> torch.Tensor:
    """The layer's output, with attention to what is held."""
    visible = memory.positions[:, :, None] <= positions[:, None]
    mixed = nn.functional.scaled_dot_product_attention(
        model.queries(number, states, positions),
        for_each_head(memory.keys),
        for_each_head(memory.values),
        attn_mask=for_each_head(visible),
    )
    return model.after_attention(number, states, mixed)
