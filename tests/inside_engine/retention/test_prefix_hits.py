"""On agentic sessions bounded requests compute everything, and others what the prefix cache lacks."""

import pytest

from benchmarks.kv_retention import bounded_schedulers, prefix_hits
from benchmarks.kv_retention.sessions import Turn

pytestmark = pytest.mark.filterwarnings("ignore")

TURNS = [
    Turn(session=session, at_s=60.0 * place + session, prompt_tokens=9_000 + 500 * place, output_tokens=50)
    for place in range(4)
    for session in range(2)
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a scheduler with budgets needs, undone after each test."""
    for name, value in bounded_schedulers.variables(prefix_hits.BOUNDS).items():
        monkeypatch.setenv(name, value)


def test_bounded_requests_compute_each_token_of_every_turn() -> None:
    found = prefix_hits.counted("retention", TURNS)
    every = sum(turn.prompt_tokens + turn.output_tokens - 1 for turn in TURNS)
    assert (found["computed_tokens"], found["preemptions"]) == (every, 0)


def test_others_compute_what_a_turn_adds() -> None:
    """But for the block that a turn begins within."""
    found = prefix_hits.counted("stock", TURNS)
    added = 2 * (9_000 + 3 * 500) + sum(turn.output_tokens - 1 for turn in TURNS)
    assert added <= found["computed_tokens"] <= added + len(TURNS) * prefix_hits.BLOCK_TOKENS


def test_prompts_of_a_session_begin_alike_and_of_two_sessions_don_t() -> None:
    first, other, second = (arrival.prompt() for arrival in prefix_hits.arrivals(TURNS[:3]))
    assert second[: len(first)] == first
    assert other[:2] != first[:2]
    assert [len(first), len(other), len(second)] == [turn.prompt_tokens for turn in TURNS[:3]]
