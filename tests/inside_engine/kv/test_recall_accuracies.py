"""The committed model can judge policies, and what is measured of them is what the plugin would do."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_vllm.retention import gates
from loadline_vllm.retention.scores import SCORES
from testbed.kv import recall_models
from testbed.kv.recall_accuracies import LEAST_ORACLE, accuracy, require_oracle
from testbed.kv.recall_arms import BUFFER_TOKENS, GATES, Arm, Guard
from testbed.kv.recall_memories import RECENT_TOKENS, SINK_TOKENS, quantized
from testbed.kv.recall_models import DIRECTORY, RecallModel
from testbed.kv.recall_tasks import (
    Task,
    information_limit,
    marked_recall,
    plain_recall,
    several_instructions,
    system_facts,
    unmarked,
    withheld_facts,
)
from testbed.kv.reference_decoding import FoldRule, Reference
from testbed.kv.reference_folds import choosing

SEED = 7
LEAST_FULL = 0.98
MODEL = recall_models.load()
FULL = Arm()
TRIMKV_32 = Arm(policy="trimkv", kept_tokens=32, gates=GATES)
MARKED = marked_recall(32, seed=SEED)


def share(task: Task, arm: Arm) -> float:
    return accuracy(MODEL, task, arm).share


def test_the_model_answers_and_an_oracle_that_drops_the_rest_does_too() -> None:
    assert share(MARKED, FULL) >= LEAST_FULL
    assert require_oracle(MODEL, MARKED, kept_tokens=32) >= LEAST_ORACLE
    assert require_oracle(MODEL, MARKED, kept_tokens=64) >= LEAST_ORACLE


def test_a_task_whose_marks_are_gone_can_judge_nothing() -> None:
    """The model still answers all of it: what fails is the oracle, which can't know what to keep."""
    broken = unmarked(MARKED)
    assert share(broken, FULL) >= 0.95
    with pytest.raises(InvalidInput, match="oracle accuracy of marked_recall_unmarked at 32 tokens"):
        require_oracle(MODEL, broken, kept_tokens=32)


def test_a_model_that_was_not_trained_can_judge_nothing() -> None:
    with pytest.raises(InvalidInput, match="oracle accuracy"):
        require_oracle(RecallModel().drawn(0), MARKED, kept_tokens=32)


def test_gates_keep_what_is_asked_and_no_other_policy_does() -> None:
    gated = share(MARKED, Arm(policy="trimkv", kept_tokens=64, gates=GATES))
    assert gated >= 0.98 * share(MARKED, FULL)
    for policy in SCORES:
        assert share(MARKED, Arm(policy=policy, kept_tokens=64)) < 0.96


def test_no_policy_is_above_the_limit_where_anything_may_be_asked() -> None:
    task = plain_recall(32, seed=SEED)
    assert share(task, FULL) >= 0.95
    limit = information_limit(80, kept_tokens=32, choices=2)
    uniform = information_limit(80, kept_tokens=32, choices=1)
    for policy in SCORES:
        alike = policy in {"streaming", "random"}
        assert share(task, Arm(policy=policy, kept_tokens=32)) < (uniform if alike else limit)
    assert share(task, TRIMKV_32) < limit


@pytest.mark.parametrize("policy", ["streaming", "trimkv"])
def test_a_protected_system_is_recalled_and_an_unguarded_one_is_lost(policy: str) -> None:
    task, file = system_facts(32, seed=SEED), GATES if policy == "trimkv" else None
    unguarded = Arm(policy=policy, kept_tokens=32, gates=file)
    guarded = replace(unguarded, guard=Guard.PROTECT)
    assert accuracy(MODEL, task, FULL).by_part[0] >= 0.98
    assert accuracy(MODEL, task, unguarded).by_part[0] < 0.9
    assert accuracy(MODEL, task, guarded).by_part[0] >= 0.98


def test_fair_parts_lose_alike() -> None:
    task = several_instructions(32, seed=SEED)
    alone = accuracy(MODEL, task, Arm(policy="streaming", kept_tokens=64)).by_part
    fair = accuracy(MODEL, task, Arm(policy="streaming", kept_tokens=64, guard=Guard.FAIR)).by_part
    assert min(alone) < 0.15 < 0.9 < max(alone)
    assert min(fair) > 0.2
    assert max(fair) < 0.8


def test_a_lost_instruction_tells_what_a_protected_one_withholds() -> None:
    task = withheld_facts(32, seed=SEED)
    unguarded = Arm(policy="streaming", kept_tokens=96)
    leaks = [
        accuracy(MODEL, task, arm).leaked
        for arm in (FULL, unguarded, Arm(policy="streaming", kept_tokens=96, guard=Guard.PROTECT))
    ]
    full, lost, protected = (one or 0.0 for one in leaks)
    assert full <= 0.05
    assert protected <= 0.05
    assert lost >= 0.2


def test_nothing_is_leaked_where_nothing_is_withheld() -> None:
    assert accuracy(MODEL, MARKED, FULL).leaked is None


def test_a_budget_that_is_never_reached_changes_nothing() -> None:
    assert share(MARKED, Arm(policy="random", kept_tokens=512)) == share(MARKED, FULL)


@pytest.mark.parametrize("arm", [FULL, Arm(policy="key-diff", kept_tokens=32), TRIMKV_32])
def test_answers_are_those_of_the_reference_token_by_token(arm: Arm) -> None:
    """The reference has its own attention and its own folds; it answers one query after another."""
    task = Task("few", tuple(marked_recall(4, seed=SEED).samples))
    reference = Reference(DIRECTORY)
    trained = gates.GateScores(gates.load(GATES, fingerprint=gates.fingerprint_of(DIRECTORY)))
    rule = FoldRule(
        lambda layer, at: choosing(
            trained(f"layers.{layer}.", at) if arm.policy == "trimkv" else SCORES["key-diff"]
        ),
        sinks=SINK_TOKENS,
        recent=RECENT_TOKENS,
    )
    right = 0
    for sample in task.samples:
        ids, judged = sample.dialogue()
        for at in judged:
            said = reference.answer(
                ids[: at + 1], tokens=1, chunk=BUFFER_TOKENS, budget=arm.budget, fold=rule
            )
            right += said == [ids[at + 1]]
    assert right == accuracy(MODEL, task, arm).right


@given(st.lists(st.floats(-100, 100), min_size=4, max_size=4), st.sampled_from([4, 8]))
def test_a_rounded_number_is_at_most_half_a_level_away(row: list[float], bits: int) -> None:
    numbers = torch.tensor([row])
    level = (max(row) - min(row)) / (2**bits - 1)
    away = (quantized(numbers, bits=bits) - numbers).abs().max()
    assert away <= level / 2 + 1e-4
    assert quantized(numbers, bits=16).equal(numbers)


def test_fewer_bits_lose_more() -> None:
    numbers = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    lost = [(quantized(numbers, bits=bits) - numbers).abs().mean().item() for bits in (8, 4)]
    assert lost[0] * 10 < lost[1]


def test_bytes_are_those_of_what_is_held_at_most() -> None:
    assert FULL.kv_bytes(200) == 200 * 2 * 2 * 2 * 32 * 2
    assert Arm(policy="random", kept_tokens=32).kv_bytes(200) == 64 * 2 * 2 * 2 * 32 * 2
    assert Arm(policy="random", kept_tokens=32).kv_bytes(40) == FULL.kv_bytes(40)
    assert Arm(bits=4).kv_bytes(200) == 200 * 2 * 2 * 2 * (16 + 4)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("policy", {"policy": "best", "kept_tokens": 32}),
        ("kept_tokens", {"policy": "random"}),
        ("kept_tokens", {"kept_tokens": 32}),
        ("gates", {"policy": "trimkv", "kept_tokens": 32}),
        ("gates", {"policy": "random", "kept_tokens": 32, "gates": Path("gates")}),
        ("bits", {"bits": 3}),
        ("retention.kept_tokens", {"policy": "random", "kept_tokens": 40}),
    ],
)
def test_an_arm_that_is_none_is_refused(field: str, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=field):
        share(MARKED, Arm(**wrong))  # type: ignore[arg-type]
