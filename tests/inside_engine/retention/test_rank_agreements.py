"""The benchmark's ranks agree with a real scheduler, and are seen to disagree where they do."""

import pytest

from benchmarks.kv_retention import bounded_schedulers, rank_agreements
from benchmarks.kv_retention.bounded_schedulers import Bounds
from benchmarks.kv_retention.rank_agreements import BOUNDS, Rank, measured

pytestmark = pytest.mark.filterwarnings("ignore")

REQUESTS = 12
AGREED = ("schedules_equal", "tables_equal", "folds_equal")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a scheduler with budgets needs, undone after each test."""
    for name, value in bounded_schedulers.variables(BOUNDS).items():
        monkeypatch.setenv(name, value)


def test_ranks_with_different_contents_agree() -> None:
    found = measured(REQUESTS, [Rank(1), Rank(2)])
    assert {name: found[name] for name in AGREED} == dict.fromkeys(AGREED, True)
    assert found["kept_differ"]
    assert found["folds"] > REQUESTS
    assert found["preemptions"] > 0


def test_ranks_with_the_same_content_show_nothing() -> None:
    assert not measured(REQUESTS, [Rank(1), Rank(1)])["kept_differ"]


def test_a_rank_with_another_buffer_is_noticed() -> None:
    smaller = Bounds(kept_tokens=32, buffer_tokens=16, block_tokens=16, step_tokens=64)
    found = measured(REQUESTS, [Rank(1), Rank(2, smaller)])
    assert not found["tables_equal"]
    assert not found["folds_equal"]


def test_requests_of_another_content_are_as_long() -> None:
    one, other = (rank_agreements.asked(REQUESTS, content=content) for content in ("one", "other"))
    assert [len(each.prompt) for each in one] == [len(each.prompt) for each in other]
    assert [each.prompt for each in one] != [each.prompt for each in other]


def test_a_scheduler_s_layers_and_its_ranks_go_by_the_same_settings() -> None:
    assert bounded_schedulers.group(BOUNDS).retention == bounded_schedulers.engine(BOUNDS)
