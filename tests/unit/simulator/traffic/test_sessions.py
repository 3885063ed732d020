"""Sessions are replayed as they were recorded, apart from each other; a bad row is refused by its number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.traffic import prefixes, recordings, sessions
from loadline_sim.traffic.sessions import Sessions

ROWS: list[Any] = [
    [2, 0.0, 640, 5, [[1, 10]]],
    [2, 30.0, 704, 6, [[1, 9], [20, 2]]],
    [9, 0.0, 128, 7, [[1, 2]]],
]


def read(folder: Path, rows: list[Any]) -> Sessions:
    (folder / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return sessions.read(folder / "s.jsonl")


def test_sessions_are_told_apart(tmp_path: Path) -> None:
    found = read(tmp_path, ROWS)
    assert len(found) == 2
    assert found.starts.tolist() == [0, 2, 3]


def test_a_session_that_is_drawn_twice_shares_no_block_with_itself(tmp_path: Path) -> None:
    found = read(tmp_path, ROWS[:2])
    trace = sessions.drawn(found, per_hour=3600.0, duration_s=1000.0, seed=1, warm_up_s=0.0)
    assert trace.prefixes is not None
    firsts = trace.prompt_tokens == 640
    assert firsts.sum() > 500
    assert prefixes.cached_blocks(trace.prefixes)[firsts].sum() == 0
    assert (prefixes.cached_blocks(trace.prefixes)[~firsts] == 9).all()


def test_requests_keep_their_distance_from_the_start(tmp_path: Path) -> None:
    trace = sessions.drawn(read(tmp_path, ROWS[:2]), per_hour=60.0, duration_s=3600.0, seed=4, warm_up_s=0.0)
    starts = trace.arrival_s[trace.prompt_tokens == 640]
    seconds = trace.arrival_s[trace.prompt_tokens == 704]
    assert seconds == pytest.approx(starts[: seconds.size] + 30.0)
    assert (np.diff(trace.arrival_s) >= 0).all()


def test_draws_come_again_by_seed() -> None:
    found = recordings.agentic_sessions()
    one, same, other = (sessions.drawn(found, per_hour=20, duration_s=7200, seed=seed) for seed in (1, 1, 2))
    assert (one.arrival_s == same.arrival_s).all()
    assert one.arrival_s.size != other.arrival_s.size


def test_as_many_sessions_are_under_way_at_the_start_as_later() -> None:
    found = recordings.agentic_sessions()
    steady = 200 * len(found.trace) / len(found)
    hours = [len(sessions.drawn(found, per_hour=200, duration_s=3600, seed=seed)) for seed in range(8)]
    cold = [
        len(sessions.drawn(found, per_hour=200, duration_s=3600, seed=seed, warm_up_s=0.0)) for seed in (0, 1)
    ]
    assert np.mean(hours) == pytest.approx(steady, rel=0.06)
    assert np.mean(cold) < 0.5 * steady


def test_more_blocks_than_the_prompt_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrace, match=r"row 2 blocks is 11: give no more blocks of 64 tokens"):
        read(tmp_path, [ROWS[0], [2, 30.0, 703, 6, [[1, 9], [20, 2]]]])


@pytest.mark.parametrize(
    "row",
    ["x", 5, [], [1, 0.0, 5, 5, []], [1, -1.0, 5, 5, [[0, 1]]], [1, 0.0, 5.5, 5, [[0, 1]]],
     [1, 0.0, 5, 5, [[0, 0]]], [1, 0.0, 5, 5, [[0]]], [1, 0.0, 5, 5, [0, 1]], [True, 0.0, 5, 5, [[0, 1]]],
     [1, float("nan"), 5, 5, [[0, 1]]], [1, 0.0, 10**12, 5, [[0, 1]]], [1, 0.0, 5, 5, [[0, 1], "x"]]],
    ids=repr,
)  # fmt: skip
def test_a_bad_row_is_refused_by_its_number(tmp_path: Path, row: Any) -> None:
    with pytest.raises(InvalidTrace, match=r"s\.jsonl row 2 is .*: write \[session, seconds"):
        read(tmp_path, [ROWS[0], row])


def test_no_row_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrace, match="at least one request"):
        read(tmp_path, [])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 1e12])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInput, match="give a rate and a duration"):
        sessions.drawn(recordings.agentic_sessions(), per_hour=rate, duration_s=60.0, seed=1)
