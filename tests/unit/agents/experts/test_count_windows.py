"""What was counted lately, from sums that begin anew with each generation of settings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.experts.count_windows import LEAST_BATCHES, WINDOW_S, CountWindow, difference
from loadline_agent.experts.outlooks import forecasts, loads
from loadline_api.expert_counts import BoundCounts, ExpertCounts, LayerCounts
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.service_loads import GuardReadings
from loadline_policies.experts.shadow_tables import Counts, count, summed

BATCH = count([6, 2], tokens=4, top_k=2, placement=contiguous(2, 2))


def counted(batches: int, *, bound: BoundCounts | None = None, layers: int = 1) -> ExpertCounts:
    """The section after so many equal batches."""
    sums = summed([BATCH] * batches) or replace(difference(BATCH, BATCH) or BATCH)
    layer = LayerCounts.of(sums, batches=(0, batches))
    return ExpertCounts(
        mode="observe",
        layers={f"layer {index}": layer for index in range(layers)},
        bound=bound or BoundCounts(),
    )


def dropped(batches: int, *, share: float = 0.25) -> BoundCounts:
    return BoundCounts(
        bounded_batches=batches,
        tokens=4 * batches,
        offered=8 * batches,
        dropped=round(8 * share * batches),
        without_expert=batches,
    )


def pairs(window: CountWindow) -> int:
    return window.counts.pairs if window.counts is not None else 0


def test_the_first_report_adds_nothing_since_it_may_be_of_last_week() -> None:
    window = CountWindow()
    window.add(counted(1000), generation=1, now=0.0)
    assert (window.counts, window.batches) == (None, 0)
    window.add(counted(1003), generation=1, now=3.0)
    assert (pairs(window), window.batches) == (24, 3)


def test_what_settings_that_changed_have_counted_stays_until_it_is_old() -> None:
    window = CountWindow()
    for batches, generation, now in ((0, 1, 0.0), (5, 1, 3.0), (2, 2, 6.0), (4, 2, 9.0)):
        window.add(counted(batches), generation=generation, now=now)
    assert pairs(window) == 8 * (5 + 2 + 2)
    window.add(counted(4), generation=2, now=WINDOW_S + 4.0)
    assert pairs(window) == 8 * (2 + 2)


def test_while_ranks_differ_nothing_is_added_and_then_what_was_counted_since() -> None:
    window = CountWindow()
    for batches, generation, now in ((0, 1, 0.0), (3, None, 3.0), (4, None, 6.0), (6, 2, 9.0)):
        window.add(counted(batches), generation=generation, now=now)
    assert pairs(window) == 8 * 6


def test_an_engine_that_was_restarted_under_its_generation_counts_anew() -> None:
    window = CountWindow()
    for batches, now in ((10, 0.0), (12, 3.0), (1, 6.0)):
        window.add(counted(batches), generation=1, now=now)
    assert pairs(window) == 8 * 3


def test_the_guard_reads_what_the_bound_did_since_its_settings_hold() -> None:
    window = CountWindow()
    window.add(counted(0), generation=1, now=0.0)
    window.add(counted(9, bound=dropped(9)), generation=1, now=3.0)
    assert window.guard == GuardReadings(dropped_fraction=0.25, without_expert_fraction=0.25)
    window.add(counted(0), generation=2, now=6.0)
    assert window.guard == GuardReadings()
    window.add(counted(8, bound=dropped(8, share=0.5)), generation=2, now=9.0)
    assert window.guard.dropped_fraction == 0.5


@pytest.mark.parametrize("layers", [1, 3])
def test_a_few_batches_are_no_reading(layers: int) -> None:
    window = CountWindow()
    window.add(counted(0, layers=layers), generation=1, now=0.0)
    few = dropped(LEAST_BATCHES * layers - 1)
    window.add(counted(3, bound=few, layers=layers), generation=1, now=3.0)
    assert window.guard == GuardReadings()
    enough = dropped(LEAST_BATCHES * layers)
    window.add(counted(4, bound=enough, layers=layers), generation=1, now=6.0)
    assert window.guard.dropped_fraction == 0.25


def test_a_plugin_that_does_not_count_tokens_gives_no_reading() -> None:
    window = CountWindow()
    window.add(counted(0), generation=1, now=0.0)
    silent = dropped(9).model_copy(update={"tokens": None})
    window.add(counted(9, bound=silent), generation=1, now=3.0)
    assert window.guard == GuardReadings()


AMOUNTS = st.floats(min_value=0.001, max_value=1e12)
COUNTS = st.builds(
    Counts,
    pairs=st.integers(0, 10**9),
    expert_mean=AMOUNTS,
    expert_most=AMOUNTS,
    rank_mean=AMOUNTS,
    rank_most=AMOUNTS,
    dropped=st.tuples(*(st.integers(0, 10**9) for _ in range(5))),
    capped_rank_most=st.tuples(*(AMOUNTS for _ in range(5))),
)


@given(st.lists(st.tuples(COUNTS, st.sampled_from([None, 1, 2]), st.floats(0.0, 100.0)), max_size=12))
def test_whatever_an_engine_reports_the_window_gives_a_table_and_a_status(
    reports: list[tuple[Counts, int | None, float]],
) -> None:
    window, now = CountWindow(), 0.0
    for counts, generation, later_s in reports:
        now += later_s
        within = replace(counts, dropped=tuple(min(one, counts.pairs) for one in counts.dropped))
        layer = LayerCounts.of(within, batches=(0, 1))
        window.add(ExpertCounts(layers={"a": layer}), generation=generation, now=now)
        for forecast in forecasts(window.counts):
            assert forecast.step_ratio is not None
            assert 0.0 <= forecast.step_ratio <= 1.0
        assert all(0 <= one.saving_percent <= 100 for one in loads(window.counts).gammas)
