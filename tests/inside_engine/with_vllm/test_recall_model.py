"""vLLM serves the committed recall model, and answers as well as was measured without it."""

import pytest

from testbed.kv import recall_models
from testbed.kv.recall_accuracies import answers
from testbed.kv.recall_arms import GATES, Arm
from testbed.kv.recall_memories import RECENT_TOKENS, SINK_TOKENS
from testbed.kv.recall_tasks import apart, marked_recall
from testbed.kv.retention_engines import RetentionEngine

pytestmark = pytest.mark.filterwarnings("ignore")

TASK = apart(marked_recall(8, seed=7))


@pytest.fixture(scope="module")
def engine() -> RetentionEngine:
    settings = {
        "LOADLINE_RETENTION_POLICY": "trimkv",
        "LOADLINE_RETENTION_GATES": str(GATES),
        "LOADLINE_RETENTION_SINK_TOKENS": str(SINK_TOKENS),
        "LOADLINE_RETENTION_RECENT_TOKENS": str(RECENT_TOKENS),
        "LOADLINE_RETENTION_PROTECT_TOKENS": "0",
    }
    return RetentionEngine(recall_models.DIRECTORY, blocks=128, settings=settings)


@pytest.mark.parametrize("kept", [None, 32])
def test_answers_are_those_that_were_computed_without_vllm(engine: RetentionEngine, kept: int | None) -> None:
    asked = [sample.request(0) for sample in TASK.samples]
    arm = Arm() if kept is None else Arm(policy="trimkv", kept_tokens=kept, gates=GATES)
    assert engine.answers(asked, tokens=1, kept=kept) == answers(recall_models.load(), TASK.samples, arm)
