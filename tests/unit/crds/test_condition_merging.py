"""Conditions are explained once, and move their time only when their status moves."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from loadline_api.conditions import (
    COORDINATOR_DOMAIN_CONDITIONS,
    MAX_CONDITIONS,
    OPERATOR_DOMAIN_CONDITIONS,
    Condition,
    ConditionType,
    condition,
    find,
    merge,
)
from loadline_api.reasons import Reason
from testbed.foreign_texts import foreign_texts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)

conditions = st.lists(
    st.builds(
        condition,
        st.sampled_from(ConditionType),
        so=st.sampled_from([True, False, None]),
        reason=st.sampled_from(Reason),
    ),
    unique_by=lambda one: one.type,
    max_size=MAX_CONDITIONS,
)


def accepted(so: bool | None, reason: Reason = Reason.SAFE_FITS) -> Condition:
    return condition(ConditionType.ACCEPTED, so=so, reason=reason, generation=3)


def test_a_new_condition_has_the_time_of_now() -> None:
    (one,) = merge([], [accepted(True)], now=NOON)
    assert one.last_transition_time == "2026-01-01T12:00:00Z"


def test_the_time_stays_while_the_status_does() -> None:
    before = merge([], [accepted(False)], now=NOON)
    (one,) = merge(before, [accepted(False, Reason.BUDGET_TOO_SMALL)], now=LATER)
    assert one.last_transition_time == "2026-01-01T12:00:00Z"
    assert one.reason == "BudgetTooSmall"


def test_the_time_moves_with_the_status() -> None:
    before = merge([], [accepted(None)], now=NOON)
    (one,) = merge(before, [accepted(True)], now=LATER)
    assert one.last_transition_time == "2026-01-01T13:00:00Z"


def test_conditions_of_others_are_left_to_them() -> None:
    others = merge([], [condition(ConditionType.ENFORCING, so=True, reason=Reason.MODE_ENFORCE)], now=NOON)
    assert [one.type for one in merge(others, [accepted(True)], now=NOON)] == ["Accepted"]


@given(conditions)
def test_merging_again_changes_nothing(wanted: list[Condition]) -> None:
    once = merge([], wanted, now=NOON)
    assert merge(once, wanted, now=LATER) == once


@given(conditions, conditions)
def test_the_order_of_what_is_wanted_does_not_matter(
    before: list[Condition], wanted: list[Condition]
) -> None:
    known = merge([], before, now=NOON)
    assert merge(known, wanted, now=LATER) == merge(known, wanted[::-1], now=LATER)


def test_a_condition_without_a_message_explains_its_reason() -> None:
    assert accepted(True).message == Reason.SAFE_FITS.sentence


def test_a_condition_is_found_by_type() -> None:
    assert find([accepted(True)], ConditionType.ACCEPTED) == accepted(True)
    assert find([accepted(True)], ConditionType.CONFLICT) is None


def test_every_word_has_one_sentence() -> None:
    for word in (*ConditionType, *Reason):
        assert word.value[0].isupper()
        assert word.value.isalnum()
        assert word.sentence.endswith(".")


def test_no_condition_of_a_domain_has_two_writers() -> None:
    assert not OPERATOR_DOMAIN_CONDITIONS & COORDINATOR_DOMAIN_CONDITIONS
    assert len(OPERATOR_DOMAIN_CONDITIONS | COORDINATOR_DOMAIN_CONDITIONS) <= MAX_CONDITIONS


@given(st.sampled_from(ConditionType), st.sampled_from(Reason), foreign_texts)
def test_a_message_is_shown_and_fits_whatever_it_quotes(
    type: ConditionType, reason: Reason, text: str
) -> None:
    one = condition(type, so=False, reason=reason, message=text)
    assert len(one.message.encode("utf-8")) <= 1000
    assert condition(type, so=False, reason=reason, message=one.message) == one
    assert Condition.model_validate(one.to_api()) == one


def test_a_longer_message_of_an_older_version_is_read() -> None:
    known = {"type": "Ready", "status": "True", "reason": "Observed", "message": "a" * 4096}
    assert Condition.model_validate(known).message == "a" * 4096
