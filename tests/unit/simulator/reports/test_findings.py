"""A recording's findings: each figure is about the right stretch of the run."""

from dataclasses import replace

import numpy as np
import pytest

from loadline_sim.plant.reactions import Reaction
from loadline_sim.plant.recordings import Recording
from loadline_sim.reports.checks import Check, check, kept, late
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.runs import Run, run_of


@pytest.fixture(scope="module")
def found(recording: Recording, run: Run) -> Findings:
    return found_in(recording, run)


def named(found: Findings, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


def test_all_checks_of_the_demo_are_there(found: Findings) -> None:
    assert [one.name for one in found.checks] == [
        "observe_brakes",
        "observe_stress_trips",
        "enforce_trips",
        "enforce_seconds_above_budget",
        "reaction_p99_s",
        "hp_p50_ratio",
        "hp_p99_ratio",
        "lp_p50_ratio",
        "lp_p99_ratio",
        "limits_left_after_release",
        "policy_edit_s",
        "cores_busy",
        "minutes",
    ]


def test_the_observed_row_brakes_and_the_enforced_one_does_not(found: Findings) -> None:
    assert found.observed.brakes >= 1
    assert (found.enforced.brakes, found.enforced.trips) == (0, 0)


def test_the_uncapped_replay_trips_in_the_stress_only(found: Findings) -> None:
    assert [act.uncapped.trips for act in found.acts] == [0, 0, 0, 0, 0, 0, 1, 0]


def test_excursions_before_enforcement_are_not_held_against_it(found: Findings) -> None:
    assert found.observed.seconds_above > 0
    assert found.excursions == ()


def test_after_the_release_only_a_trip_is_held_against_enforcement(recording: Recording, run: Run) -> None:
    row_watts = recording.row_watts.copy()
    row_watts[recording.t_s > 515] = 1.02 * recording.budget_watts
    assert found_in(replace(recording, row_watts=row_watts), run).excursions == ()
    row_watts[recording.t_s > 515] = 4.0 * recording.budget_watts
    assert named(found_in(replace(recording, row_watts=row_watts), run), "enforce_trips").ok is False


def test_ratios_are_those_that_the_recording_was_made_with(found: Findings) -> None:
    high, low = found.groups
    assert (high.services, low.services) == ("chat", "code")
    assert high.slowdown.p50_ratio == pytest.approx(1.004)
    assert low.slowdown.p50_ratio == pytest.approx(1.03)


def test_requests_of_the_injured_acts_do_not_count(found: Findings, recording: Recording) -> None:
    counted = sum(group.slowdown.requests for group in found.groups)
    injured = (recording.requests.arrival_s >= 200) & (recording.requests.arrival_s <= 510)
    assert 0 < counted <= recording.requests.arrival_s.size - injured.sum()


def test_a_threshold_is_drawn_until_it_is_edited(found: Findings) -> None:
    first = found.series.thresholds[0]
    assert first.span == (0.0, 125.0)
    assert first.level == pytest.approx(0.9 * 243_200)


def test_an_excursion_longer_than_its_reaction_is_a_missed_check(recording: Recording, run: Run) -> None:
    row_watts = recording.row_watts.copy()
    row_watts[(recording.t_s > 150) & (recording.t_s <= 152)] = 1.02 * recording.budget_watts
    above = replace(recording, row_watts=row_watts)
    quick = replace(run, reactions=(Reaction(149.9, 1.0, 0.6),))
    slow = replace(run, reactions=(Reaction(149.9, 1.0, 2.4),))
    missed = named(found_in(above, quick), "enforce_seconds_above_budget")
    assert (missed.value, missed.goal, missed.ok) == (2.0, "≤ 0.6", False)
    assert named(found_in(above, slow), "enforce_seconds_above_budget").ok


def test_what_virtual_time_cannot_measure_counts_neither_way(found: Findings) -> None:
    assert named(found, "cores_busy").ok is None
    assert kept(found.checks)


def test_a_missed_check_says_why() -> None:
    missed = check("enforce_trips", 1.0, operator="=", goal=0.0)
    assert (missed.ok, missed.reason) == (False, "1 is not = 0")
    assert not kept((missed,))


def test_a_timing_that_misses_its_goal_breaks_no_promise() -> None:
    slow = check("reaction_p99_s", 1.25, operator="<", goal=1.0, timing=True)
    assert (slow.ok, slow.reason) == (False, "1.25 is not < 1")
    assert kept((slow,))
    assert late((slow,)) == (slow,)


def test_what_is_promised_holds_on_any_machine(found: Findings) -> None:
    promises = [one.name for one in found.checks if not one.timing]
    assert promises == [
        "observe_brakes",
        "observe_stress_trips",
        "enforce_trips",
        "enforce_seconds_above_budget",
        "limits_left_after_release",
    ]


def test_a_figure_that_is_not_a_number_is_not_measured() -> None:
    assert check("lp_p99_ratio", float(np.nan), operator="≤", goal=1.5).ok is None


def test_what_is_told_of_a_run_comes_from_its_recording(recording: Recording) -> None:
    run = run_of(recording, kind="virtual", reactions=(), measured={})
    assert (run.seed, run.row.servers, run.row.provisioned_servers) == (6, 52, 40)
    assert run.row.max_load == pytest.approx(52 * 5960 / 243_200)
    assert run.row.asked_s == pytest.approx(13.7)
    assert "simulated" in run.unreal[0]
    assert {fact.name for fact in run.made} >= {
        "Machine",
        "Versions",
        "Seed",
        "Model error against the measurements (mean)",
    }


def test_a_run_without_reactions_leaves_their_check_unmeasured(recording: Recording) -> None:
    found = found_in(recording, run_of(recording, kind="live", reactions=(), measured={}))
    assert named(found, "reaction_p99_s").ok is None


def test_a_recording_without_its_baseline_is_refused(recording: Recording, run: Run) -> None:
    with pytest.raises(ValueError, match="add both"):
        found_in(replace(recording, baseline=None), run)


def test_acts_without_requests_are_not_said_to_be_counted(recording: Recording, run: Run) -> None:
    requests, uncapped = recording.requests, recording.baseline
    assert uncapped is not None
    assert recording.acts[-1].start_s == 510.0
    assert requests.arrival_s.max() < 510.0 + 1e-9
    assert found_in(recording, run).counted_acts == (1, 2, 3)


def test_what_stress_costs_is_found_though_it_is_not_counted(recording: Recording, run: Run) -> None:
    slow = np.where(recording.requests.arrival_s >= 430.0, 9.0, 1.0) * recording.requests.latency_s
    found = found_in(replace(recording, requests=replace(recording.requests, latency_s=slow)), run)
    assert found.acts[6].low.p50_ratio > 8
    assert found.groups[1].slowdown.p50_ratio == pytest.approx(1.03)
