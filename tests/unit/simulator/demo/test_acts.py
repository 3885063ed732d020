"""The play is in order, its policies are what they say, and every cue falls into its act."""

from itertools import pairwise

import pytest

from loadline_policies.documents import parse_power
from loadline_policies.errors import InvalidPolicy
from loadline_sim.demo import acts
from loadline_sim.demo.acts import ACTS, Cue


def test_the_acts_follow_each_other_without_a_gap() -> None:
    assert all(one.end_s == other.start_s for one, other in pairwise(ACTS))


def test_every_cue_falls_into_its_act() -> None:
    for act in ACTS:
        assert all(act.start_s <= at_s <= act.end_s for at_s, _ in act.cues)


def test_every_cue_is_given_once() -> None:
    given = [cue for act in ACTS for _, cue in act.cues]
    assert sorted(given) == sorted(Cue)


def test_the_edit_changes_the_policy_and_the_broken_one_is_refused() -> None:
    assert parse_power(acts.POLICY).hash != parse_power(acts.EDITED_POLICY).hash
    with pytest.raises(InvalidPolicy, match="threshold1Percent"):
        parse_power(acts.BROKEN_POLICY)


def test_the_api_server_is_away_for_longer_than_any_lease() -> None:
    away, back = (at_s for act in ACTS for at_s, cue in act.cues if cue in (Cue.API_AWAY, Cue.API_BACK))
    assert back - away == 60.0


def test_the_last_act_runs_on() -> None:
    assert acts.act_at(1e6) is ACTS[-1]
