"""Cases side by side: every request is counted, policies are the product's own, and verdicts can fail."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidInput, InvalidPolicy, UnsafeDomain
from loadline_policies.models import parameters
from loadline_sim.serving.gaps import counted
from loadline_sim.traffic import profiles
from loadline_sim.weeks import cases, studies
from loadline_sim.weeks.cases import Case, Latencies, Outcome
from loadline_sim.weeks.demands import Demand
from loadline_sim.weeks.loads import LoadCount
from loadline_sim.weeks.studies import Row, Settings

STEADY = profiles.constant(np.full(48, 36_000), 3600.0)
CASE = Case(
    title="polca",
    document=studies.document("polca"),
    servers=6,
    budget_watts=6 * 4900.0,
    demand=Demand(factor=0.2, duration_s=1800, span_s=600, profile=STEADY),
)


def test_a_case_counts_every_request_second_and_joule() -> None:
    found = cases.run(CASE)
    arrivals = [part for _, part in CASE.demand.spans(cases.services_of(6), parameters.load())]
    assert found.requests == sum(map(len, arrivals))
    done = sum(int(one.e2e.sum()) for one in found.latencies.values())
    assert found.requests - 100 < done <= found.requests
    assert sum(found.levels.values()) == found.load.seconds == 1800
    assert sum(mean * 600 for mean in found.means) == pytest.approx(found.load.load_seconds)
    assert found.policy_hash == parse_power(CASE.document).hash


def test_replays_agree_with_the_run_by_the_second() -> None:
    found = cases.run(CASE)
    assert found.replayed.windows == found.windows > 0
    assert found.replayed.seconds == found.capped_s
    assert found.replayed.agreed >= 0.9 * found.windows
    assert abs(found.replayed.energy_error) < 0.005


def test_without_a_share_nothing_is_replayed_and_nothing_is_claimed() -> None:
    found = cases.run(replace(CASE, replay_share=0.0))
    assert found.replayed.windows == 0
    assert np.isnan(found.replayed.energy_error)


def test_gpus_that_draw_more_draw_more() -> None:
    free = replace(CASE, document=studies.document("no-cap"))
    more, less = (cases.run(replace(free, watts_factor=factor)).load.load_seconds for factor in (1.05, 1.0))
    assert 1.005 < more / less < 1.05


def test_the_same_case_again_is_the_same() -> None:
    one, other = cases.run(CASE), cases.run(CASE)
    assert (one.load.load_seconds, one.levels, one.means) == (
        other.load.load_seconds,
        other.levels,
        other.means,
    )


def test_a_budget_below_the_lowest_limits_is_refused() -> None:
    with pytest.raises(UnsafeDomain):
        cases.run(replace(CASE, budget_watts=6 * 2700.0))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"days": 0}, "days"),
        ({"load": 0.0}, "load"),
        ({"servers": (1,)}, "servers"),
        ({"documents": {}}, "documents"),
    ],
)
def test_settings_that_cannot_be_studied_are_refused_by_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        studies.check(replace(Settings(documents=studies.built_in()), **change))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_an_invalid_document_is_refused() -> None:
    with pytest.raises(InvalidPolicy):
        studies.check(Settings(documents={"no-cap": studies.document("no-cap"), "mine": "policy: nothing"}))


def outcome(*, brakes: int = 0, e2e_s: float = 1.0) -> Outcome:
    """An outcome in which every request took so long."""
    load = LoadCount(cases.CURVE, 1.0, brakes=brakes)
    latencies = {
        name: Latencies(counted(np.full(9, 0.5)), counted(np.full(9, e2e_s))) for name in ("high", "low")
    }
    return Outcome(CASE, "", (), load, levels=Counter(), latencies=latencies)


def row(**changed: float) -> Row:
    """An outcome beside one without caps."""
    one = outcome(**changed)  # type: ignore[arg-type]
    return Row(one, studies.slower(one, outcome()))


def test_a_row_that_braked_is_not_within_its_budget() -> None:
    assert row().is_within
    assert not row(brakes=1).is_within


def test_brakes_that_only_replays_show_count() -> None:
    found = row()
    found.outcome.replayed.brakes = 2
    assert found.brakes == 2
    assert not found.is_within


@pytest.mark.parametrize(("e2e_s", "keeps"), [(1.0, True), (1.03, False), (1.2, False)])
def test_objectives_are_kept_by_both_priorities_or_not_at_all(e2e_s: float, keeps: bool) -> None:
    found = row(e2e_s=e2e_s)
    assert found.keeps_objectives is keeps
    assert found.slower["low"][99] == pytest.approx(e2e_s - 1.0, abs=0.006)
