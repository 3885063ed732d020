"""A policy goes on where another coordinator had it: at the second strictest level that members tell."""

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.polca import LADDER, Level
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.policy_runs import PolicyRun
from loadline_policies.power.rows import Row
from loadline_policies.registry import POWER

CALM, HOT = Row(0.5), Row(1.02)
BEGAN_S = 1_000.0


def document(policy: str = "polca", settings: str = "{brakeHoldSeconds: 60}") -> PowerDocument:
    return parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: {policy}\nsettings: {settings}")


def tell(run: PolicyRun, *levels: str | None) -> None:
    """As many members as there are levels tell one each."""
    for index, level in enumerate(levels):
        run.learn(
            Report(
                node=f"node-{index}", domain="row", sequence=1, age_s=0.1, host_watts=0.0, host_max_watts=0.0,
                gpus=(), policy_level=level,
            )
        )  # fmt: skip


def told(*levels: str | None, policy: PowerDocument | None = None) -> PolicyRun:
    """A run that hasn't decided yet, and was told these levels."""
    run = PolicyRun(policy or document())
    tell(run, *levels)
    return run


def test_a_braked_row_stays_braked_for_the_time_of_the_brake() -> None:
    run = told("Brake", "Brake", "Brake")
    assert run.decide(CALM, BEGAN_S).brake
    assert run.decide(CALM, BEGAN_S + 59.0).brake
    assert not run.decide(CALM, BEGAN_S + 60.0).brake


def test_a_row_that_nobody_tells_of_starts_as_the_policy_does() -> None:
    run = told(None, None)
    assert run.level is None
    assert run.decide(CALM, BEGAN_S).level == Level.NORMAL


@pytest.mark.parametrize(
    ("levels", "resumes"),
    [
        (("LowDeep",), Level.LOW_DEEP),
        (("Normal", "Brake"), Level.NORMAL),
        (("Brake", "Normal", "LowShallow"), Level.LOW_SHALLOW),
        (("Brake", "Normal", "Brake"), Level.BRAKE),
        (("LowDeep", None, None), Level.LOW_DEEP),
        (("Brake", "Melted", "Normal"), Level.NORMAL),
        (("Melted", "TooManySilentNodes", ""), None),
    ],
)
def test_the_second_strictest_level_is_believed(levels: tuple[str, ...], resumes: str | None) -> None:
    """One member may lie, or be the first to have heard."""
    run = told(*levels)
    assert run.level == resumes
    assert run.decide(CALM, BEGAN_S).level == (resumes or Level.NORMAL)


def test_a_hotter_row_climbs_from_where_it_resumes() -> None:
    assert told("LowShallow").decide(HOT, BEGAN_S).brake


def test_what_is_told_once_the_policy_has_decided_changes_nothing() -> None:
    run = told("Normal")
    run.decide(CALM, BEGAN_S)
    tell(run, "Brake", "Brake")
    assert run.decide(CALM, BEGAN_S + 1.0).level == run.level == Level.NORMAL


def test_an_edit_of_settings_keeps_the_level_and_another_policy_starts_anew() -> None:
    run = told()
    run.decide(HOT, BEGAN_S)
    run.configure(document(settings="{brakeHoldSeconds: 30}"))
    assert run.decide(CALM, BEGAN_S + 29.0).brake
    run.configure(document("no-cap", "{}"))
    assert not run.decide(CALM, BEGAN_S + 29.5).brake


@pytest.mark.parametrize("name", sorted(POWER))
def test_every_policy_that_has_levels_goes_on_at_each_of_them(name: str) -> None:
    """Just below the load at which it would be taken, and above the one at which it is undone."""
    policy = POWER[name]
    assert (policy.resume is None) == (policy.levels == ())
    for level in policy.levels:
        load = {"Normal": 0.3, "LowShallow": 0.78, "Brake": 0.95}.get(level, 0.88)
        run = told(level, policy=document(name, "{}"))
        assert run.decide(Row(load), BEGAN_S).level == level
        assert run.level == level


def test_a_member_can_slow_its_row_no_longer_than_its_policy_holds_a_level() -> None:
    """Two that lie at once are believed: then the row is held, and let go as after any brake."""
    run = told("Brake", "Brake", policy=document(settings="{brakeHoldSeconds: 10, actuationMillis: 500}"))
    levels = [run.decide(CALM, BEGAN_S + seconds).level for seconds in range(14)]
    assert levels[9] == Level.BRAKE
    assert levels[10:] == list(reversed(LADDER))[1:]
