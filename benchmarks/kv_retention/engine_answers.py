"""
What one engine answers, and how many requests its memory held meanwhile; JSON at the end.

    python -m benchmarks.kv_retention.engine_answers SETUP

The engine's interpreter runs it, in a process for each engine: one without the plugin is vLLM's own then.
"""

import json
import sys
import time
from typing import Any

import torch

from benchmarks.kv_retention import recall_setups
from benchmarks.kv_retention.setups import Setup
from testbed.kv.recall_models import DIRECTORY
from testbed.kv.retention_engines import RetentionEngine


def answered(setup: Setup) -> dict[str, Any]:
    """The tokens of each answer, and what the scheduler did. Steps count from the first request on."""
    engine = RetentionEngine(
        DIRECTORY,
        blocks=setup.blocks,
        running=setup.running,
        settings=recall_setups.settings(setup),
        plugin=setup.plugin,
        **recall_setups.options(setup),
    )
    began_s = time.monotonic()
    answers = engine.answers(recall_setups.asked(setup), tokens=setup.tokens, kept=setup.kept_tokens)
    return {
        "answers": answers,
        "right": recall_setups.right(setup, answers),
        "steps": engine.steps,
        "preemptions": engine.preemptions,
        "mean_running": engine.running_sum / engine.steps,
        "most_running": engine.most_running,
        "most_blocks": max(engine.peak_blocks.values()),
        "seconds": time.monotonic() - began_s,
    }


def main() -> None:
    """Answer, and print one JSON document."""
    torch.set_num_threads(1)
    print(json.dumps(answered(Setup.parsed(sys.argv[1]))))


if __name__ == "__main__":
    main()
