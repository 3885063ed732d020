"""What a coordinator says of its domain: True and False of what it heard lately, else Unknown."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.kube.domain_conditions import conditions_of, is_bad
from loadline_api.conditions import COORDINATOR_DOMAIN_CONDITIONS, Condition, ConditionType, find
from loadline_api.visible_texts import visible
from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domain_states import DomainState, ReleaseWait
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.member_evidence import NOTHING_HEARD, Evidence
from testbed.foreign_texts import foreign_texts

BUDGET_WATTS = 5_200.0
HEARD = Evidence(heard_watts=4_000.0, armed=10, lowest_watts=3_000.0, budget_watts=BUDGET_WATTS)
CALM = DomainState(
    watts=4_000.0,
    load=4_000.0 / BUDGET_WATTS,
    age_s=0.3,
    headroom_watts=1_200.0,
    level="Normal",
    held=HoldReason.NOT,
    heat=0.2,
    brakes=0,
    nodes=10,
    silent=(),
    enforcing=True,
    agreed=True,
    safety=None,
    problem=None,
    policy_hash="abc",
    evidence=HEARD,
)
UNARMED = replace(CALM, enforcing=False, evidence=replace(HEARD, armed=0, unarmed=("n0", "n1")))
ONE_SILENT = replace(CALM, silent=("n9",), evidence=replace(HEARD, armed=9))
UNHEARD = replace(NOTHING_HEARD, budget_watts=BUDGET_WATTS)
ALL_SILENT = replace(
    CALM, nodes=2, silent=("n0", "n1"), evidence=replace(NOTHING_HEARD, budget_watts=5_200.0)
)
OVER = replace(HEARD, lowest_watts=6_000.0, unlowered=("n3", "n4"), unholdable=True)
WAITS = ReleaseWait(nodes=("n0", "n1"), lacking_watts=540.4, long=False)
LONG = replace(CALM, release=replace(WAITS, long=True))
UNSAFE = UnsafeDomain("ReactionTooSlow", "breaker.curve bears …")

ENFORCING, HOLDABLE = ConditionType.ENFORCING, ConditionType.HOLDABLE
WITHIN, CAPPED = ConditionType.WITHIN_BUDGET, ConditionType.POWER_CAPPED


def said(domain_state: DomainState, type: ConditionType, *, enforce: bool = True) -> Condition:
    found = find(conditions_of(domain_state, enforce=enforce), type)
    assert found is not None
    return found


def above(domain_state: DomainState) -> DomainState:
    return replace(domain_state, evidence=replace(domain_state.evidence, heard_watts=5_201.0))


@pytest.mark.parametrize(
    ("domain_state", "enforce", "type", "expected"),
    [
        (CALM, True, ENFORCING, ("True", "ModeEnforce")),
        (UNARMED, True, ENFORCING, ("False", "ModeEnforce")),
        (CALM, False, ENFORCING, ("True", "Releasing")),
        (UNARMED, False, ENFORCING, ("False", "ModeObserve")),
        (replace(UNARMED, problem=UNSAFE), True, ENFORCING, ("False", "ReactionTooSlow")),
        (ONE_SILENT, True, ENFORCING, ("True", "ModeEnforce")),
        (ALL_SILENT, True, ENFORCING, ("Unknown", "NodesSilent")),
        (replace(ALL_SILENT, problem=UNSAFE), True, ENFORCING, ("Unknown", "NodesSilent")),
        (replace(ALL_SILENT, enforcing=False), False, ENFORCING, ("Unknown", "NodesSilent")),
        (CALM, True, HOLDABLE, ("True", "LowestLimitsFit")),
        (CALM, False, HOLDABLE, ("Unknown", "Releasing")),
        (UNARMED, True, HOLDABLE, ("Unknown", "NotWritten")),
        (UNARMED, False, HOLDABLE, ("Unknown", "ModeObserve")),
        (ONE_SILENT, True, HOLDABLE, ("Unknown", "NodesSilent")),
        (replace(CALM, evidence=OVER), True, HOLDABLE, ("False", "CannotBeHeld")),
        (replace(ONE_SILENT, evidence=OVER), True, HOLDABLE, ("False", "CannotBeHeld")),
        (replace(UNARMED, nodes=0), True, HOLDABLE, ("Unknown", "NoMembers")),
        (CALM, True, WITHIN, ("True", "BelowBudget")),
        (above(CALM), True, WITHIN, ("False", "AboveBudget")),
        (ONE_SILENT, True, WITHIN, ("Unknown", "NodesSilent")),
        (replace(ONE_SILENT, watts=9_000.0, load=1.7), True, WITHIN, ("Unknown", "NodesSilent")),
        (above(ONE_SILENT), True, WITHIN, ("False", "AboveBudget")),
        (replace(CALM, nodes=0), True, WITHIN, ("Unknown", "NoMembers")),
        (CALM, True, CAPPED, ("False", "LevelNormal")),
        (replace(CALM, level="LowDeep"), True, CAPPED, ("True", "LevelRaised")),
        (replace(UNARMED, level="LowDeep"), True, CAPPED, ("False", "LevelRaised")),
        (CALM, True, ConditionType.REPORTING, ("True", "AllReporting")),
        (ONE_SILENT, True, ConditionType.REPORTING, ("False", "NodesSilent")),
    ],
)
def test_conditions(
    domain_state: DomainState, enforce: bool, type: ConditionType, expected: tuple[str, str]
) -> None:
    found = said(domain_state, type, enforce=enforce)
    assert (found.status, found.reason) == expected


@given(st.booleans(), st.booleans(), st.floats(0.0, 2.0), st.sampled_from([None, UNSAFE]))
def test_a_row_of_which_nobody_was_heard_is_said_neither_to_be_well_nor_ill(
    enforce: bool, enforcing: bool, load: float, problem: UnsafeDomain | None
) -> None:
    unheard = replace(ALL_SILENT, load=load, enforcing=enforcing, problem=problem)
    assert {said(unheard, type, enforce=enforce).status for type in (ENFORCING, HOLDABLE, WITHIN)} == {
        "Unknown"
    }


def test_the_coordinator_says_its_conditions_and_no_others() -> None:
    assert {one.type for one in conditions_of(CALM, enforce=True)} == COORDINATOR_DOMAIN_CONDITIONS


def test_a_row_that_can_not_be_held_is_told_with_watts_nodes_and_what_to_do() -> None:
    text = said(replace(ONE_SILENT, evidence=OVER), HOLDABLE).message
    assert "800 W above the budget (5200 W); can't be lowered: n3, n4; not reporting" in text
    assert "n9" in text
    assert "reduce the load now" in text


def test_a_row_that_can_be_held_is_told_with_the_watts_of_its_lowest_limits() -> None:
    assert said(CALM, HOLDABLE).message == (
        "At the lowest limits of all 10 nodes the domain draws at most 3000 W; the budget is 5200 W."
    )


def test_holdable_false_is_worth_a_warning_and_unknown_is_not() -> None:
    assert is_bad(said(replace(CALM, evidence=OVER), HOLDABLE))
    assert not is_bad(said(ONE_SILENT, HOLDABLE))


def test_a_budget_that_only_silent_nodes_can_break_is_told_with_both_figures() -> None:
    text = said(replace(ONE_SILENT, watts=5_900.0), WITHIN).message
    assert text == (
        "1 of 10 nodes don't report: n9. The other members draw 4000 W, and with the silent ones at the most"
        " that they may draw the domain draws 5900 W; the budget is 5200 W."
    )


def capped_message(*relieved: str) -> str:
    return said(replace(CALM, level="High", relieved=relieved), CAPPED).message


def test_who_is_let_off_a_cap_is_named_and_some_of_many() -> None:
    assert capped_message() == "The policy's level is High."
    assert capped_message("prod/chat", "prod/search") == (
        "The policy's level is High; relieved of its caps, because they miss their objectives: prod/chat,"
        " prod/search."
    )
    assert capped_message(*"abcdefg").endswith(": a, b, c, d, e and others.")


def test_many_silent_nodes_are_counted_and_some_named() -> None:
    names = tuple(f"node-{number:02}" for number in range(10, 20))
    assert said(replace(CALM, nodes=52, silent=names), ConditionType.REPORTING).message == (
        "10 of 52 nodes don't report: node-10, node-11, node-12, node-13, node-14 and others."
    )


def test_gpus_that_do_not_obey_hold_the_row_back_also_where_the_policy_does_not() -> None:
    capped = said(replace(CALM, evidence=replace(HEARD, unable=("n3",))), CAPPED)
    assert (capped.status, capped.reason) == ("True", "GpusUnable")
    assert "n3" in capped.message
    assert said(CALM, CAPPED).status == "False"


@pytest.mark.parametrize(
    ("domain_state", "enforce", "expected"),
    [
        (replace(CALM, release=WAITS), False, ("True", "Releasing")),
        (LONG, False, ("True", "ReleaseWaits")),
        (LONG, True, ("True", "ReleaseWaits")),
        (replace(LONG, problem=UNSAFE), True, ("True", "ReactionTooSlow")),
    ],
)
def test_who_waits_to_be_released_is_told_and_gravely_after_ten_minutes(
    domain_state: DomainState, enforce: bool, expected: tuple[str, str]
) -> None:
    one = said(domain_state, ENFORCING, enforce=enforce)
    assert (one.status, one.reason) == expected


@given(foreign_texts, st.booleans())
def test_every_message_of_a_domain_fits_and_shows(text: str, enforce: bool) -> None:
    """Levels and problems come of a policy's document, names of whoever answers to them."""
    names = (text, text)
    evidence = replace(HEARD, unarmed=names, unlowered=names, unable=names, lowest_watts=9_000.0)
    for one in (
        replace(CALM, level=text, relieved=names),
        replace(CALM, silent=names, evidence=evidence),
        replace(CALM, evidence=evidence, problem=UnsafeDomain(text, text)),
        replace(CALM, release=ReleaseWait(nodes=names, lacking_watts=1.0, long=True)),
    ):
        for told in conditions_of(one, enforce=enforce):
            assert len(told.message.encode("utf-8")) <= 1000
            assert visible(told.message) == told.message
