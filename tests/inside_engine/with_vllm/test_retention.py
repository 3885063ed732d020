"""A real engine whose requests have budgets: right tokens, bounded blocks, and nothing changed without."""

import os
from pathlib import Path

import pytest
import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from loadline_vllm.retention import gates, obstacles
from loadline_vllm.retention.merges import CHUNK_TOKENS, STEPS
from loadline_vllm.retention.obstacles import CannotBound
from loadline_vllm.retention.request_budgets import PROTECT
from loadline_vllm.retention.scores import SCORES
from testbed.kv.reference_decoding import FoldRule, Reference
from testbed.kv.reference_folds import choosing, merging
from testbed.kv.retention_engines import BLOCK, BUFFER, RetentionEngine, prompts

pytestmark = pytest.mark.filterwarnings("ignore")

KEPT, SINKS, RECENT = 64, 4, 8
LAYERS, HEADS, SIZE = 3, 2, 64
PROMPT_TOKENS, TOKENS = 200, 40
MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])
SETTINGS = {
    "LOADLINE_RETENTION_POLICY": "chelsea",
    "LOADLINE_RETENTION_SINK_TOKENS": str(SINKS),
    "LOADLINE_RETENTION_RECENT_TOKENS": str(RECENT),
    "LOADLINE_RETENTION_PROTECT_TOKENS": "0",
}

CHELSEA = FoldRule(lambda *_: merging(chunk_tokens=CHUNK_TOKENS, steps=STEPS), sinks=SINKS, recent=RECENT)
STREAMING = FoldRule(lambda *_: choosing(SCORES["streaming"]), sinks=SINKS, recent=RECENT)


@pytest.fixture(scope="module")
def engine() -> RetentionEngine:
    """It merges: of all policies, what that leaves depends most on what folds before have left."""
    return RetentionEngine(MODEL, blocks=64, settings=SETTINGS)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(MODEL)


@pytest.mark.parametrize("kept", [32, 64, None])
def test_tokens_are_those_of_the_reference(
    engine: RetentionEngine, reference: Reference, kept: int | None
) -> None:
    asked = prompts(8, tokens=PROMPT_TOKENS)
    expected = [
        reference.answer(
            one,
            tokens=TOKENS,
            chunk=BUFFER,
            budget=engine.budget(kept) if kept is not None else None,
            fold=CHELSEA,
        )
        for one in asked
    ]
    assert engine.answers(asked, tokens=TOKENS, kept=kept) == expected


def test_tokens_that_gates_keep_are_those_of_the_reference(reference: Reference, tmp_path: Path) -> None:
    """Gates of random numbers, which tell tokens, heads and layers apart."""
    file = tmp_path / "gates.safetensors"
    generator = torch.Generator().manual_seed(7)
    shapes = ((HEADS, 8, SIZE), (HEADS, 8), (HEADS, 8), (HEADS,))
    layers = [
        gates.LayerGate(*(torch.randn(shape, generator=generator) for shape in shapes)) for _ in range(LAYERS)
    ]
    gates.write(layers, file, fingerprint=gates.fingerprint_of(MODEL), kept_tokens=KEPT, notes={})
    settings = {"LOADLINE_RETENTION_POLICY": "trimkv", "LOADLINE_RETENTION_GATES": str(file)}
    gated = RetentionEngine(MODEL, blocks=64, settings=SETTINGS | settings)
    scores = gates.GateScores(layers)
    asked = prompts(8, tokens=PROMPT_TOKENS)
    rule = FoldRule(
        lambda layer, at: choosing(scores(f"model.layers.{layer}.", at)), sinks=SINKS, recent=RECENT
    )
    expected = [
        reference.answer(one, tokens=TOKENS, chunk=BUFFER, budget=gated.budget(KEPT), fold=rule)
        for one in asked
    ]
    assert gated.answers(asked, tokens=TOKENS, kept=KEPT) == expected


def test_a_prompt_longer_than_the_pool_is_served_where_no_request_may_keep_all(reference: Reference) -> None:
    """The model's whole context, 2,048 tokens, doesn't fit either: vLLM itself would not start."""
    settings = {"LOADLINE_RETENTION_MOST_TOKENS": "64", "LOADLINE_RETENTION_POLICY": "streaming"}
    small = RetentionEngine(MODEL, blocks=16, running=2, settings=SETTINGS | settings)
    asked = prompts(4, tokens=700)
    expected = [
        reference.answer(one, tokens=TOKENS, chunk=BUFFER, budget=small.budget(64), fold=STREAMING)
        for one in asked
    ]
    assert small.answers(asked, tokens=TOKENS, kept=64) == expected
    assert small.preemptions == 0
    with pytest.raises(InvalidInput, match="keep at most 64 tokens"):
        small.scheduler.budgets.keep(None)
    os.environ.pop("LOADLINE_RETENTION_MOST_TOKENS")


def test_what_is_counted_has_happened(engine: RetentionEngine) -> None:
    asked = prompts(4, tokens=PROMPT_TOKENS, seed=9)
    before = engine.counts()
    engine.answers(asked, tokens=TOKENS, kept=64)
    found = engine.counts()
    folds = engine.budget(64).folds(PROMPT_TOKENS + TOKENS - 1)
    assert found.bounded - before.bounded == 4
    assert found.folds is not None
    assert before.folds is not None
    assert found.folds - before.folds == 4 * folds
    last_is_late = 4 * (folds - 1) * BUFFER // BLOCK
    assert last_is_late <= found.freed_blocks - before.freed_blocks <= 4 * folds * BUFFER // BLOCK
    assert (found.bounded_requests, found.saved_blocks, found.used_blocks) == (0, 0, 0)
    assert (found.kept_tokens, found.pool_blocks, found.unbounded) == (64, 64, None)


def test_a_budget_comes_with_settings_and_goes_with_them(
    engine: RetentionEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.hold({"kept_tokens": 96})
    assert engine.counts().kept_tokens == 96
    engine.hold({"kept_tokens": 95})
    assert engine.counts().kept_tokens is None
    assert "set a multiple of the block size" in caplog.text
    engine.hold({"kept_tokens": 96})
    engine.hold({})
    assert engine.counts().kept_tokens is None


def test_prefix_hits_are_counted_of_requests_without_a_budget(engine: RetentionEngine) -> None:
    asked = prompts(2, tokens=PROMPT_TOKENS, seed=10)
    before = engine.counts()
    for _ in range(2):
        engine.answers(asked, tokens=4, kept=None)
    found = engine.counts()
    assert found.prefix_queried_tokens is not None
    assert found.prefix_hit_tokens is not None
    assert found.prefix_queried_tokens - (before.prefix_queried_tokens or 0) == 4 * PROMPT_TOKENS
    shared = 2 * (PROMPT_TOKENS // BLOCK) * BLOCK
    assert found.prefix_hit_tokens - (before.prefix_hit_tokens or 0) == shared
    engine.answers(asked, tokens=40, kept=64)
    assert engine.counts().prefix_queried_tokens == found.prefix_queried_tokens


def test_while_it_observes_no_request_is_bounded(engine: RetentionEngine) -> None:
    """Scheduler and worker are Loadline's, and a budget in force changes nothing."""
    asked = prompts(4, tokens=PROMPT_TOKENS, seed=8)
    whole = engine.answers(asked, tokens=TOKENS, kept=None)
    assert engine.answers(asked, tokens=TOKENS, kept=32) != whole
    observing = RetentionEngine(MODEL, blocks=64, settings=SETTINGS | {"LOADLINE_RETENTION": "observe"})
    assert observing.answers(asked, tokens=TOKENS, kept=32) == whole
    assert observing.scheduler.budgets.bounded_requests == 0


def test_an_engine_that_must_bound_its_requests_and_cannot_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obstacles, "TERMINATION_MESSAGE", tmp_path / "nowhere")  # not this machine's own
    must = {"LOADLINE_RETENTION_ON_PROBE_FAILURE": "refuse", "LOADLINE_RETENTION_BUDGET_TOKENS": "48"}
    with pytest.raises(CannotBound, match="48: set a multiple of the block size, 32 tokens"):
        RetentionEngine(MODEL, blocks=64, settings=SETTINGS | must)
    for name in must:
        os.environ.pop(name)


def test_a_budget_changes_answers(engine: RetentionEngine) -> None:
    """Otherwise no other test here would show anything."""
    asked = prompts(8, tokens=PROMPT_TOKENS)
    assert engine.answers(asked, tokens=TOKENS, kept=32) != engine.answers(asked, tokens=TOKENS, kept=None)


def test_a_budget_that_no_request_reaches_changes_nothing(engine: RetentionEngine) -> None:
    asked = prompts(4, tokens=PROMPT_TOKENS)
    before = engine.scheduler.budgets.bounded_requests
    large = engine.answers(asked, tokens=TOKENS, kept=512)
    assert engine.scheduler.budgets.bounded_requests == before
    assert large == engine.answers(asked, tokens=TOKENS, kept=None)


def test_a_request_holds_no_more_blocks_than_its_budget_allows(engine: RetentionEngine) -> None:
    engine.answers(prompts(4, tokens=600), tokens=TOKENS, kept=KEPT)
    assert max(engine.peak_blocks.values()) <= engine.budget(KEPT).most_blocks(BUFFER)
    assert min(engine.peak_blocks.values()) < 600 // BLOCK


def test_all_blocks_are_free_again_when_requests_have_ended(engine: RetentionEngine) -> None:
    engine.answers(prompts(4, tokens=600), tokens=TOKENS, kept=KEPT)
    pool = engine.scheduler.kv_cache_manager.block_pool
    assert pool.get_num_free_blocks() == pool.num_gpu_blocks - 1
    for manager in engine.scheduler.kv_cache_manager.coordinator.single_type_managers:
        assert not manager.bounded
        assert not manager._computed


def test_preemptions_change_no_token(engine: RetentionEngine) -> None:
    """Two at a time fit into the pool, eight don't. One alone would be computed in larger chunks."""
    asked = prompts(8, tokens=500, seed=3)
    pairs = [asked[first : first + 2] for first in range(0, 8, 2)]
    unhindered = [one for pair in pairs for one in engine.answers(pair, tokens=TOKENS, kept=256)]
    assert engine.preemptions == 0
    assert engine.answers(asked, tokens=TOKENS, kept=256) == unhindered
    assert engine.preemptions > 0


def test_a_bounded_request_shares_no_prefix_and_others_still_do(engine: RetentionEngine) -> None:
    asked = prompts(1, tokens=PROMPT_TOKENS, seed=4)
    whole = engine.answers(asked, tokens=4, kept=None)
    for _ in range(2):
        engine.answers(asked, tokens=4, kept=32)
        assert engine.cached_tokens == [0]
    assert engine.answers(asked, tokens=4, kept=None) == whole
    assert engine.cached_tokens == [PROMPT_TOKENS // BLOCK * BLOCK]


def test_admission_counts_a_bounded_request_with_its_bound(engine: RetentionEngine) -> None:
    """All eight hold less than the pool at once, if they are bounded; else fewer are admitted."""
    asked = prompts(8, tokens=500, seed=6)
    enforced = Config(admission=AdmissionMode.ENFORCE, estimator=EstimatorName.WORST_CASE)
    engine.scheduler.loadline.hold(enforced)
    engine.answers(asked, tokens=TOKENS, kept=None)
    assert engine.most_running < 4
    engine.answers(asked, tokens=TOKENS, kept=32)
    assert engine.most_running > 6
    assert engine.preemptions == 0
    engine.scheduler.loadline.hold(Config())


def test_protected_spans_stay(engine: RetentionEngine) -> None:
    asked = prompts(1, tokens=PROMPT_TOKENS, seed=5)
    engine.answers(asked, tokens=4, kept=64, extra_args={PROTECT: [40, 60]})
    assert engine.scheduler.budgets.refused_spans == 0
    engine.answers(asked, tokens=4, kept=64, extra_args={PROTECT: [40, 600]})
    assert engine.scheduler.budgets.refused_spans == 1


def test_an_engine_that_may_go_without_bounds_and_cannot_bound_serves_as_without(
    engine: RetentionEngine,
) -> None:
    """The last one here: with this engine goes what vLLM has for all engines of a process."""
    asked = prompts(4, tokens=PROMPT_TOKENS, seed=9)
    whole = engine.answers(asked, tokens=TOKENS, kept=None)
    may = {"LOADLINE_RETENTION_ON_PROBE_FAILURE": "degrade", "LOADLINE_RETENTION_BUDGET_TOKENS": "48"}
    unable = RetentionEngine(MODEL, blocks=64, settings=SETTINGS | may, watched=False)
    for name in may:
        os.environ.pop(name)
    assert unable.scheduler.budgets is None
    assert unable.answers(asked, tokens=TOKENS, kept=None) == whole
