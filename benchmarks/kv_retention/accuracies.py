"""
How many questions the recall model answers right in each arm, beside what an arm holds in memory; JSON at
the end.

    python -m benchmarks.kv_retention.accuracies SAMPLES SEED

An arm is a policy with its budget, a number of bits, and how parts of the prompt are spared. Each question is
asked alone after its prompt, as an engine's requests are. Bytes are those of one request at its largest, by
arithmetic. The engine's interpreter runs it. Progress goes to stderr.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any, Final

import torch

from testbed.kv import recall_models
from testbed.kv.recall_accuracies import accuracy
from testbed.kv.recall_arms import BUFFER_TOKENS, FULL, GATES, ORACLE, TRIMKV, Arm, Guard
from testbed.kv.recall_models import KV_HEADS
from testbed.kv.recall_sequences import SLOT_TOKENS
from testbed.kv.recall_tasks import PLAIN, TASKS, Task, apart, information_limit

KEPT: Final = (32, 64, 128)
MERGING: Final = "chelsea"
HEURISTICS: Final = ("streaming", "key-norm", "key-diff", "random", MERGING)
SAME_IN_ALL_HEADS: Final = frozenset({"streaming", "random"})
"""Policies that go by positions, and so keep the same tokens everywhere."""
SAID_S: Final = 5.0


def bounded(policy: str, kept_tokens: int, **more: Any) -> Arm:
    """An arm of a policy with a budget."""
    return Arm(policy=policy, kept_tokens=kept_tokens, gates=GATES if policy == TRIMKV else None, **more)


def arms() -> Iterator[tuple[str, Arm]]:
    """Tasks by name, and the arms in which they are asked."""
    for task in TASKS:
        yield task, Arm(policy=FULL)
    yield from (("marked_recall", Arm(policy=FULL, bits=bits)) for bits in (8, 4))
    for kept in KEPT:
        yield "marked_recall", bounded(ORACLE, kept)
        yield "marked_recall", bounded(TRIMKV, kept, bits=4)
        for policy in (TRIMKV, *HEURISTICS):
            yield "marked_recall", bounded(policy, kept)
            yield "plain_recall", bounded(policy, kept)
    for kept in KEPT[:2]:
        for policy in (TRIMKV, "streaming", "key-norm"):
            for guard in Guard:
                yield "system_facts", bounded(policy, kept, guard=guard)
                yield "withheld_facts", bounded(policy, kept, guard=guard)
            for guard in (Guard.NONE, Guard.FAIR):
                yield "several_instructions", bounded(policy, kept, guard=guard)


def limit(task: Task, arm: Arm) -> float | None:
    """What no policy that drops tokens can do better than; None of tasks where one can know what to keep, and
    of a policy that merges them.

    Each KV head may keep other tokens. Those of the buffer are the same in all, and each fact takes a slot.
    """
    if task.name != "plain_recall" or arm.kept_tokens is None or arm.policy == MERGING:
        return None
    heads = 1 if arm.policy in SAME_IN_ALL_HEADS else KV_HEADS
    kept = heads * arm.kept_tokens + -(-BUFFER_TOKENS // SLOT_TOKENS)
    return information_limit(PLAIN.facts, kept_tokens=kept, choices=1)


def rows(*, samples: int, seed: int) -> Iterator[Mapping[str, Any]]:
    """The figures of each arm."""
    model = recall_models.load()
    tasks = {name: apart(made(samples, seed=seed)) for name, made in TASKS.items()}
    asked, said_s = list(arms()), time.monotonic()
    for number, (name, arm) in enumerate(asked, 1):
        task = tasks[name]
        found = accuracy(model, task, arm)
        yield {
            "task": name,
            "policy": arm.policy,
            "kept_tokens": arm.kept_tokens,
            "bits": arm.bits,
            "guard": arm.guard.value,
            "kv_bytes": arm.kv_bytes(len(task.samples[0].request(0))),
            "asked": found.asked,
            "accuracy": found.share,
            "by_part": [None if isnan(share) else share for share in found.by_part],
            "leaked": found.leaked,
            "limit": limit(task, arm),
        }
        if time.monotonic() - said_s > SAID_S:
            said_s = time.monotonic()
            print(f"     recall: {number} of {len(asked)} arms", file=sys.stderr, flush=True)


def main() -> None:
    """Ask, and print one JSON document."""
    torch.set_num_threads(1)
    print(json.dumps({"rows": list(rows(samples=int(sys.argv[1]), seed=int(sys.argv[2])))}))


if __name__ == "__main__":
    main()
