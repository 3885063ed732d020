"""
What the same prompts are answered by plain torch, one request at a time; JSON at the end.

    python -m benchmarks.kv_retention.reference_answers SETUP

The folds are those of `testbed.kv.reference_decoding`, which shares the scores with the plugin and nothing
else. The engine's interpreter runs it. Progress goes to stderr.
"""

import json
import sys
import time

import torch

from benchmarks.kv_retention.recall_setups import asked
from benchmarks.kv_retention.setups import TRIMKV, Setup
from loadline_policies.kv.budgets import Budget
from loadline_vllm.retention import gates
from loadline_vllm.retention.scores import SCORES, Scores
from testbed.kv.recall_arms import GATES
from testbed.kv.recall_memories import RECENT_TOKENS, SINK_TOKENS
from testbed.kv.recall_models import DIRECTORY
from testbed.kv.reference_decoding import FoldRule, Reference
from testbed.kv.reference_folds import choosing
from testbed.kv.retention_engines import BLOCK, BUFFER

SAID_S = 10.0


def rule_of(setup: Setup) -> FoldRule:
    """Which tokens stay, by the number of a layer."""
    if setup.policy != TRIMKV:
        return FoldRule(lambda *_: choosing(SCORES[setup.policy]), sinks=SINK_TOKENS, recent=RECENT_TOKENS)
    scores: Scores = gates.GateScores(gates.load(GATES, fingerprint=gates.fingerprint_of(DIRECTORY)))
    return FoldRule(
        lambda layer, at: choosing(scores(f"model.layers.{layer}.", at)),
        sinks=SINK_TOKENS,
        recent=RECENT_TOKENS,
    )


def answers(setup: Setup) -> list[list[int]]:
    """The tokens of each answer."""
    reference, rule, budget = Reference(DIRECTORY), rule_of(setup), None
    if setup.kept_tokens is not None:
        budget = Budget(kept_tokens=setup.kept_tokens, buffer_tokens=BUFFER, block_tokens=BLOCK)
    found, said_s = [], time.monotonic()
    for number, prompt in enumerate(asked(setup), 1):
        found.append(reference.answer(prompt, tokens=setup.tokens, chunk=BUFFER, budget=budget, fold=rule))
        if time.monotonic() - said_s > SAID_S:
            said_s = time.monotonic()
            print(f"     reference: {number} of {setup.requests}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Answer, and print one JSON document."""
    torch.set_num_threads(1)
    print(json.dumps({"answers": answers(Setup.parsed(sys.argv[1]))}))


if __name__ == "__main__":
    main()
