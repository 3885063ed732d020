"""
A setup with the recall model: its questions, and the settings of its engine.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.kv_retention.setups import CONTEXT_TOKENS, TRIMKV, Setup
from testbed.kv.recall_arms import GATES
from testbed.kv.recall_memories import RECENT_TOKENS, SINK_TOKENS
from testbed.kv.recall_tasks import MARKED, Sample, apart, marked_recall


def questions(setup: Setup) -> tuple[Sample, ...]:
    """A sample for each request, with one query; all queries of a prompt come one after the other."""
    each = MARKED.asked
    prompts = setup.requests if setup.distinct else -(-setup.requests // each)
    samples = apart(marked_recall(prompts, seed=setup.seed)).samples
    return samples[:: each if setup.distinct else 1][: setup.requests]


def asked(setup: Setup) -> list[list[int]]:
    """The prompts."""
    return [sample.request(0) for sample in questions(setup)]


def right(setup: Setup, answers: Sequence[Sequence[int]]) -> int:
    """How many answers begin with the right token."""
    return sum(
        sample.queries[0].answer == answer[0]
        for sample, answer in zip(questions(setup), answers, strict=True)
    )


def settings(setup: Setup) -> dict[str, str]:
    """The variables of the engine's process."""
    if not setup.plugin:
        return {"LOADLINE_RETENTION": "off", "LOADLINE_ADMISSION": "off"}
    found = {
        "LOADLINE_ADMISSION": "off",
        "LOADLINE_RETENTION_POLICY": setup.policy,
        "LOADLINE_RETENTION_SINK_TOKENS": str(SINK_TOKENS),
        "LOADLINE_RETENTION_RECENT_TOKENS": str(RECENT_TOKENS),
        "LOADLINE_RETENTION_PROTECT_TOKENS": "0",
    }
    if setup.policy == TRIMKV:
        found["LOADLINE_RETENTION_GATES"] = str(GATES)
    return found


def options(setup: Setup) -> dict[str, Any]:
    """vLLM's."""
    found: dict[str, Any] = {"max_model_len": CONTEXT_TOKENS}
    if setup.step_tokens is not None:
        found |= {"max_num_batched_tokens": setup.step_tokens, "long_prefill_token_threshold": 0}
    return found
