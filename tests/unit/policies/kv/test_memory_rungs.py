"""What the policy of rungs promises: one at a time, under a guard, slow both ways, and never on a guess."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.documents import SCHEMA, ServiceDocument, parse
from loadline_policies.errors import InvalidPolicy
from loadline_policies.kv.advices import Advice
from loadline_policies.kv.engine_memories import (
    Allowance,
    CanaryReadings,
    EngineMemory,
    QualityClass,
    Reason,
    Retained,
)
from loadline_policies.kv.memory_rungs import MEMORY_RUNGS, decide
from loadline_policies.kv.rung_guards import UNREAD_HOLD_S
from loadline_policies.kv.rung_settings import Config, RetentionMode
from loadline_policies.kv.rung_states import State
from loadline_policies.loops import Loop

CONFIG = Config(retention=RetentionMode.ENFORCE)
GOOD = CanaryReadings(recall_loss_fraction=0.0, drift_nats=0.002)
ALLOWED = Allowance(enforce=True, able=True, quality_class=QualityClass.STANDARD)
SHORT = EngineMemory(
    used_percent=95.0,
    saved_percent=0.0,
    preemptions=7,
    prefix_hit_percent=4.0,
    kv_bits=16,
    canary=GOOD,
    baseline_known=True,
    allowance=ALLOWED,
    age_s=1.0,
)
MIDDLING, ROOMY = replace(SHORT, used_percent=80.0), replace(SHORT, used_percent=40.0)
EVERY_S = 5


def after(
    seconds: float,
    memory: EngineMemory = SHORT,
    *,
    state: State | None = None,
    begin: float = 10_000.0,
    config: Config = CONFIG,
) -> tuple[Retained, State]:
    """What the policy asks for after it was given the same every five seconds for so long."""
    asked, state = Retained(), state or State()
    for turn in range(round(seconds / EVERY_S) + 1):
        asked, state = decide(memory, state, config, begin + EVERY_S * turn)
    return asked, state


def keeping(tokens: int | None, **state: Any) -> State:
    """The state with that budget in force since a long time."""
    return replace(State(), kept_tokens=tokens, since_s=0.0, **state)


def test_memory_that_is_short_for_a_window_puts_the_largest_budget_in_force() -> None:
    assert after(55)[0] == Retained()
    assert after(60)[0] == Retained(kept_tokens=2048, reason=Reason.MEMORY_SHORT)


def test_a_smaller_budget_follows_once_the_one_before_has_settled() -> None:
    kept = [after(seconds)[0].kept_tokens for seconds in (60, 355, 360, 900)]
    assert kept == [2048, 2048, 1024, 1024]
    assert after(355)[0].reason is Reason.SETTLING


@pytest.mark.parametrize(("dip", "kept"), [(86.0, 2048), (85.0, None)])
def test_memory_stays_short_through_a_small_dip(dip: float, kept: int | None) -> None:
    _, state = after(30)
    _, state = decide(replace(SHORT, used_percent=dip), state, CONFIG, 10_035.0)
    assert after(20, state=state, begin=10_040.0)[0].kept_tokens == kept


def test_one_preemption_is_enough_and_only_once() -> None:
    _, state = after(0, MIDDLING)
    preempted = replace(MIDDLING, preemptions=8)
    asked, state = decide(preempted, state, CONFIG, 10_005.0)
    assert asked.kept_tokens == 2048
    assert after(3600, preempted, state=state, begin=10_010.0)[0].kept_tokens == 2048


def test_what_led_to_a_budget_does_not_lead_to_the_next_one() -> None:
    """Where a move settles sooner than a window ends."""
    config = CONFIG.model_copy(update={"settle_seconds": 5})
    _, state = after(0, MIDDLING, config=config)
    preempted = replace(MIDDLING, preemptions=8)
    assert after(40, preempted, state=state, begin=10_005.0, config=config)[0].kept_tokens == 2048
    assert [after(seconds, config=config)[0].kept_tokens for seconds in (120, 125)] == [2048, 1024]


@pytest.mark.parametrize("total", [7, 3], ids=["as before", "engine restarted"])
def test_preemptions_of_another_time_are_no_pressure(total: int) -> None:
    _, state = after(0, MIDDLING)
    assert after(600, replace(MIDDLING, preemptions=total), state=state)[0] == Retained()


def test_a_predicted_peak_is_pressure_too() -> None:
    waiting = replace(ROOMY, predicted_peak_percent=120.0)
    assert after(60, waiting)[0].kept_tokens == 2048


def test_with_room_the_larger_budget_comes_back_one_rung_after_a_longer_time() -> None:
    moves = [after(seconds, ROOMY, state=keeping(1024))[0].kept_tokens for seconds in (295, 300, 600, 605)]
    assert moves == [1024, 2048, 2048, None]


def test_with_room_no_rung_is_skipped() -> None:
    config = CONFIG.model_copy(update={"rung_tokens": (4096, 2048, 1024, 512)})
    moves = [after(305 * n, ROOMY, state=keeping(512), config=config)[0].kept_tokens for n in range(1, 5)]
    assert moves == [1024, 2048, 4096, None]


def test_memory_between_both_thresholds_moves_nothing() -> None:
    assert after(7200, MIDDLING, state=keeping(2048))[0].kept_tokens == 2048
    assert after(7200, MIDDLING)[0] == Retained()


@pytest.mark.parametrize(
    ("tokens", "change", "kept"),
    [
        (2048, {"saved_percent": 29.0}, None),
        (2048, {"saved_percent": 31.0}, 2048),
        (1024, {"saved_percent": 31.0}, 1024),
        (1024, {"saved_percent": 31.0, "bounded_requests": 10, "pool_tokens": 102_400}, 2048),
        (1024, {"saved_percent": 90.0, "bounded_requests": 31, "pool_tokens": 102_400}, 1024),
        (2048, {"saved_percent": None}, None),
        (2048, {"saved_percent": float("nan")}, 2048),
    ],
)
def test_a_budget_stays_while_memory_would_not_have_room_without_it(
    tokens: int, change: dict[str, Any], kept: int | None
) -> None:
    """Ten requests that keep 1,024 tokens more need 10 % of 102,400; 31 need 31 %."""
    asked, _ = after(300, replace(ROOMY, **change), state=keeping(tokens))
    assert asked.kept_tokens == kept


def test_a_budget_that_came_back_soon_is_kept_twice_as_long_the_next_time() -> None:
    """Used alone tells nothing of what is saved, so the policy has to find out by giving budgets up."""
    state, now, waits = keeping(2048), 10_000.0, []
    blind = replace(ROOMY, saved_percent=None)
    for _ in range(6):
        began = now
        while state.kept_tokens is not None:
            _, state = decide(blind, state, CONFIG, now)
            now += EVERY_S
        waits.append(now - began - EVERY_S)
        while state.kept_tokens is None:
            _, state = decide(replace(blind, used_percent=95.0), state, CONFIG, now)
            now += EVERY_S
    assert [round(wait, -2) for wait in waits] == [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]


def test_a_budget_that_was_given_up_rightly_is_forgotten() -> None:
    state = keeping(None, descended=True, wait_s=600.0)
    _, state = after(60, state=state)
    assert (state.kept_tokens, state.wait_s) == (2048, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"allowance": replace(ALLOWED, quality_class=QualityClass.FULL)}, Reason.QUALITY_CLASS),
        ({"allowance": replace(ALLOWED, able=False)}, Reason.ENGINE_UNABLE),
        ({"allowance": replace(ALLOWED, able=None)}, Reason.READINGS_UNKNOWN),
        ({"allowance": replace(ALLOWED, enforce=False)}, Reason.NOT_ALLOWED),
        ({"prefix_hit_percent": 30.1}, Reason.PREFIX_HITS),
        ({"prefix_hit_percent": None}, Reason.PREFIX_HITS_UNKNOWN),
        ({"prefix_hit_percent": float("nan")}, Reason.PREFIX_HITS_UNKNOWN),
        ({"baseline_known": False}, Reason.BASELINE_UNKNOWN),
        ({"used_percent": None}, Reason.READINGS_UNKNOWN),
        ({"used_percent": float("nan")}, Reason.READINGS_UNKNOWN),
        ({"used_percent": 101.0}, Reason.READINGS_UNKNOWN),
        ({"predicted_peak_percent": float("nan")}, Reason.READINGS_UNKNOWN),
        ({"preemptions": None}, Reason.READINGS_UNKNOWN),
        ({"age_s": 31.0}, Reason.READINGS_UNKNOWN),
        ({"age_s": float("nan")}, Reason.READINGS_UNKNOWN),
        ({"used_percent": 90.0}, Reason.NO_PRESSURE),
    ],
    ids=str,
)
def test_without_its_conditions_no_request_is_bounded(change: dict[str, Any], reason: Reason) -> None:
    asked, _ = after(3600, replace(SHORT, **change))
    assert (asked.kept_tokens, asked.reason) == (None, reason)


def test_a_document_may_bound_requests_whatever_prefixes_they_share() -> None:
    config = CONFIG.model_copy(update={"max_prefix_hit_percent": 100})
    for hits in (None, 80.0):
        assert after(60, replace(SHORT, prefix_hit_percent=hits), config=config)[0].kept_tokens == 2048


def test_hits_that_end_with_the_first_budget_do_not_keep_the_next_one_away() -> None:
    unknown = replace(SHORT, prefix_hit_percent=None)
    assert after(60, unknown, state=keeping(2048))[0].kept_tokens == 1024


@pytest.mark.parametrize(
    ("quality_class", "kept", "reason"),
    [
        (QualityClass.FULL, {None}, Reason.QUALITY_CLASS),
        (QualityClass.HIGH, {None, 2048}, Reason.QUALITY_CLASS),
        (QualityClass.STANDARD, {None, 2048, 1024}, Reason.LAST_RUNG),
    ],
)
def test_the_quality_class_bounds_how_far_it_climbs(
    quality_class: QualityClass, kept: set[int | None], reason: Reason
) -> None:
    memory = replace(SHORT, allowance=replace(ALLOWED, quality_class=quality_class))
    assert {after(seconds, memory)[0].kept_tokens for seconds in (0, 60, 360, 2000)} == kept
    assert after(2000, memory)[0].reason is reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"allowance": replace(ALLOWED, enforce=False)}, Reason.NOT_ALLOWED),
        ({"allowance": replace(ALLOWED, able=False)}, Reason.ENGINE_UNABLE),
    ],
)
def test_what_is_forbidden_ends_the_budget_at_once(change: dict[str, Any], reason: Reason) -> None:
    asked, state = decide(replace(SHORT, **change), keeping(1024), CONFIG, 10_000.0)
    assert (asked.kept_tokens, asked.reason, state.since_s) == (None, reason, 10_000.0)


@pytest.mark.parametrize(
    ("in_force", "rungs", "quality_class", "kept"),
    [
        (1024, (4096, 2048), QualityClass.STANDARD, 2048),
        (1024, (512,), QualityClass.STANDARD, None),
        (1024, (2048, 1024), QualityClass.HIGH, 2048),
        (1024, (2048, 1024), QualityClass.FULL, None),
        (1024, (1024, 512), QualityClass.HIGH, 1024),
    ],
)
def test_the_budget_is_moved_at_once_into_what_an_edit_allows(
    in_force: int, rungs: tuple[int, ...], quality_class: QualityClass, kept: int | None
) -> None:
    memory = replace(MIDDLING, allowance=replace(ALLOWED, quality_class=quality_class))
    config = Config(retention=RetentionMode.ENFORCE, rung_tokens=rungs)
    assert decide(memory, keeping(in_force), config, 10_000.0)[0].kept_tokens == kept


def test_observing_says_what_would_be_put_in_force_and_keeps_all() -> None:
    observed = after(3600, config=Config())[0]
    assert observed == Retained(reason=Reason.POLICY_OBSERVES, would_keep_tokens=2048)
    spec = replace(SHORT, allowance=replace(ALLOWED, enforce=False), baseline_known=False)
    assert after(3600, spec)[0] == Retained(reason=Reason.NOT_ALLOWED, would_keep_tokens=2048)
    assert after(3600, MIDDLING, config=Config())[0] == Retained()
    assert decide(SHORT, keeping(1024), Config(), 10_000.0)[0].kept_tokens is None


BREACHES = [
    (replace(GOOD, recall_loss_fraction=0.051), Reason.RECALL_LOST),
    (replace(GOOD, recall_loss_fraction=float("nan")), Reason.RECALL_LOST),
    (replace(GOOD, drift_nats=0.021), Reason.DRIFTED),
    (CanaryReadings(drift_nats=0.021), Reason.DRIFTED),
]


@pytest.mark.parametrize(("canary", "reason"), BREACHES)
def test_a_loss_ends_all_budgets_at_once_and_for_good(canary: CanaryReadings, reason: Reason) -> None:
    asked, state = decide(replace(SHORT, canary=canary), keeping(1024), CONFIG, 10_000.0)
    assert (asked.kept_tokens, asked.reason) == (None, reason)
    asked, _ = after(86_400, state=state, begin=10_005.0)
    assert (asked.kept_tokens, asked.reason) == (None, reason)


@pytest.mark.parametrize(
    ("memory", "config"),
    [
        (SHORT, CONFIG.model_copy(update={"max_canary_drift_millinats": 50})),
        (SHORT, CONFIG.model_copy(update={"rung_tokens": (4096, 2048)})),
        (replace(SHORT, allowance=replace(ALLOWED, quality_class=QualityClass.HIGH)), CONFIG),
    ],
    ids=["limit", "rungs", "class"],
)
def test_an_edit_of_document_or_spec_ends_the_hold(memory: EngineMemory, config: Config) -> None:
    _, state = decide(replace(SHORT, canary=BREACHES[2][0]), keeping(1024), CONFIG, 10_000.0)
    asked, _ = after(400, memory, state=state, begin=10_005.0, config=config)
    assert asked.kept_tokens == config.rung_tokens[0]


def test_a_document_may_have_it_tried_again() -> None:
    config = CONFIG.model_copy(update={"retry_seconds": 3600})
    _, state = decide(replace(SHORT, canary=BREACHES[2][0]), keeping(1024), config, 10_000.0)
    assert after(3590, state=state, begin=10_005.0, config=config)[0].kept_tokens is None
    assert after(3595, state=state, begin=10_005.0, config=config)[0].kept_tokens == 2048


def test_readings_of_the_canaries_count_only_while_a_budget_is_in_force() -> None:
    assert after(60, replace(SHORT, canary=BREACHES[0][0]))[0].kept_tokens == 2048


@pytest.mark.parametrize(
    "change",
    [{"used_percent": None}, {"age_s": 40.0}, {"canary": CanaryReadings(drift_nats=0.0)}],
    ids=["memory", "stale", "canary"],
)
def test_what_is_missing_holds_the_budget_for_a_while_and_ends_it_then(change: dict[str, Any]) -> None:
    unread = replace(SHORT, **change)
    assert after(295, unread, state=keeping(2048))[0].kept_tokens == 2048
    asked, state = after(300, unread, state=keeping(2048))
    assert (asked.kept_tokens, asked.reason) == (None, Reason.READINGS_UNKNOWN)
    assert after(UNREAD_HOLD_S - 10, state=state, begin=10_305.0)[0].kept_tokens is None
    assert after(UNREAD_HOLD_S, state=state, begin=10_305.0)[0].kept_tokens == 2048


def test_without_what_the_canaries_read_no_smaller_budget_follows() -> None:
    asked, _ = after(295, replace(SHORT, canary=CanaryReadings(drift_nats=0.0)), state=keeping(2048))
    assert asked == Retained(kept_tokens=2048, reason=Reason.READINGS_UNKNOWN)


def test_a_reading_that_is_missing_now_and_then_ends_nothing() -> None:
    state, now = keeping(2048), 10_000.0
    for turn in range(400):
        canary = GOOD if turn % 20 == 0 else CanaryReadings()
        now += EVERY_S
        asked, state = decide(replace(MIDDLING, canary=canary), state, CONFIG, now)
        assert asked.kept_tokens == 2048


def test_what_was_missing_under_an_earlier_budget_does_not_count_under_the_next() -> None:
    _, state = after(60, state=keeping(None, unread_since_s=0.0))
    asked, _ = decide(replace(SHORT, canary=CanaryReadings()), state, CONFIG, 10_065.0)
    assert asked.kept_tokens == 2048


@pytest.mark.parametrize(("gap_s", "kept"), [(30, 2048), (31, None)])
def test_a_reading_may_be_missing_in_a_window_but_a_gap_ends_it(gap_s: int, kept: int | None) -> None:
    _, state = after(40)
    _, state = decide(replace(SHORT, used_percent=None), state, CONFIG, 10_050.0)
    asked, _ = decide(replace(SHORT, preemptions=7), state, CONFIG, 10_040.0 + gap_s)
    assert asked.kept_tokens == kept


def test_preemptions_in_a_gap_are_no_pressure_of_now() -> None:
    _, state = after(0, MIDDLING)
    assert decide(replace(MIDDLING, preemptions=9), state, CONFIG, 10_600.0)[0] == Retained()


def test_advice_comes_where_only_a_person_can_help_and_memory_stays_short() -> None:
    asked, state = after(2000)
    assert (asked.kept_tokens, asked.reason) == (1024, Reason.LAST_RUNG)
    assert asked.advice == (Advice.KV_8_BIT, Advice.KV_4_BIT, Advice.MORE_REPLICAS)
    assert after(600, MIDDLING, state=state, begin=12_005.0)[0].advice == ()
    assert after(300)[0].advice == (), "a budget that settles may yet be enough"


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (
            {"prefix_hit_percent": 60.0},
            (Advice.KV_8_BIT, Advice.KV_4_BIT, Advice.OFFLOAD, Advice.MORE_REPLICAS),
        ),
        ({"allowance": replace(ALLOWED, quality_class=QualityClass.FULL)}, (Advice.MORE_REPLICAS,)),
        ({"allowance": replace(ALLOWED, able=False), "kv_bits": 8}, (Advice.KV_4_BIT, Advice.MORE_REPLICAS)),
        ({"baseline_known": False}, ()),
    ],
)
def test_advice_fits_why_the_policy_can_do_no_more(
    change: dict[str, Any], advice: tuple[Advice, ...]
) -> None:
    assert after(3600, replace(SHORT, **change))[0].advice == advice


def test_after_a_loss_the_advice_says_what_else_would_help() -> None:
    lossy = replace(SHORT, canary=BREACHES[0][0])
    asked, _ = after(600, lossy, state=keeping(2048))
    assert (asked.reason, asked.advice[-1]) == (Reason.RECALL_LOST, Advice.MORE_REPLICAS)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("{rungTokens: []}", "settings.rungTokens"),
        ("{rungTokens: [1024, 2048]}", "settings.rungTokens"),
        ("{rungTokens: [1024, 1024]}", "settings.rungTokens"),
        ("{rungTokens: [5, 4, 3, 2, 1]}", "settings.rungTokens"),
        ("{rungTokens: [1024, 0]}", "settings.rungTokens.1"),
        ("{rungTokens: [1024.5]}", "settings.rungTokens.0"),
        ("{rungTokens: ['1024']}", "settings.rungTokens.0"),
        ("{rungTokens: 1024}", "settings.rungTokens"),
        ("{descendPercent: 90}", "settings.descendPercent"),
        ("{calmSeconds: 59}", "settings.calmSeconds"),
        ("{retention: on}", "settings.retention"),
        ("{climbPercent: 101}", "settings.climbPercent"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_by_name(settings: str, field: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse(
            f"schema: {SCHEMA}\nloop: kv-retention\npolicy: memory-rungs\nsettings: {settings}\n",
            Loop.KV_RETENTION,
        )
    assert refused.value.field == field


def test_a_document_without_settings_observes() -> None:
    text = f"schema: {SCHEMA}\nloop: kv-retention\npolicy: memory-rungs\n"
    document = parse(text, Loop.KV_RETENTION)
    assert isinstance(document, ServiceDocument)
    assert (document.policy, document.config) == (MEMORY_RUNGS, Config())
    assert document.config.retention is RetentionMode.OBSERVE  # type: ignore[attr-defined]
    given = "settings: {retention: enforce, rungTokens: [512]}\n"
    config = parse(text + given, Loop.KV_RETENTION).config
    assert config == Config(retention=RetentionMode.ENFORCE, rung_tokens=(512,))


CHANGES = st.one_of(
    st.just({"used_percent": 40.0}),
    st.just({"used_percent": 40.0}),
    st.just({"canary": CanaryReadings()}),
    st.fixed_dictionaries({"used_percent": st.sampled_from([80.0, 91.0, None, float("nan")])}),
    st.fixed_dictionaries({"predicted_peak_percent": st.sampled_from([10.0, 130.0, -1.0])}),
    st.fixed_dictionaries({"saved_percent": st.sampled_from([None, 10.0, 60.0, float("nan")])}),
    st.fixed_dictionaries({"preemptions": st.sampled_from([None, 3, 8, 9])}),
    st.fixed_dictionaries({"prefix_hit_percent": st.one_of(st.none(), st.floats(0.0, 100.0))}),
    st.fixed_dictionaries({"baseline_known": st.just(False)}),
    st.fixed_dictionaries({"age_s": st.sampled_from([29.0, 31.0, float("nan")])}),
    st.fixed_dictionaries(
        {
            "canary": st.builds(
                CanaryReadings,
                recall_loss_fraction=st.sampled_from([0.0, 0.2, None, float("nan")]),
                drift_nats=st.sampled_from([0.0, 0.3, None, float("nan")]),
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "allowance": st.builds(
                Allowance,
                enforce=st.sampled_from([True, True, False]),
                able=st.sampled_from([True, True, False, None]),
                quality_class=st.sampled_from(QualityClass),
            )
        }
    ),
)
ONES = st.lists(CHANGES, max_size=2).map(
    lambda changes: replace(SHORT, **{key: one for change in changes for key, one in change.items()})
)
RUNS = st.tuples(
    st.sampled_from([None, 4096, 2048, 1024, 512]),
    st.lists(st.tuples(ONES, st.integers(1, 8), st.sampled_from([5, 5, 25, 40])), max_size=12),
)
"""The budget at the beginning, and observations: each so often, so many seconds apart."""

LEVELS = st.tuples(
    st.sampled_from([None, 4096, 2048, 1024, 512]),
    st.lists(
        st.tuples(st.sampled_from([ROOMY, MIDDLING, SHORT]), st.integers(1, 12), st.just(EVERY_S)),
        max_size=12,
    ),
)
"""The same with sound readings of an engine that may be bounded, so that only memory can move it."""

QUICK = Config(
    retention=RetentionMode.ENFORCE,
    rung_tokens=(4096, 2048, 1024, 512),
    window_seconds=5,
    calm_seconds=10,
    settle_seconds=20,
    evidence_seconds=30,
)


Runs = tuple[int | None, list[tuple[EngineMemory, int, int]]]


def played(runs: Runs) -> list[tuple[EngineMemory, int | None, Retained, float]]:
    """What was observed, the budget in force before, what was asked, and when."""
    (before, observed), now, all_of_it = runs, 0.0, []
    state = State(kept_tokens=before, since_s=now)
    for memory, times, every_s in observed:
        for _ in range(times):
            now += every_s
            asked, state = decide(memory, state, QUICK, now)
            all_of_it.append((memory, before, asked, now))
            before = asked.kept_tokens
    return all_of_it


def place(tokens: int | None) -> int:
    return -1 if tokens is None else QUICK.rung_tokens.index(tokens)


def breached(canary: CanaryReadings) -> bool:
    loss, drift = canary.recall_loss_fraction, canary.drift_nats
    return (loss is not None and not loss <= 0.05) or (drift is not None and not drift <= 0.02)


@given(RUNS)
def test_whatever_is_observed_it_climbs_one_rung_at_a_time_within_the_class_and_what_is_known(
    runs: Runs,
) -> None:
    for memory, before, asked, _ in played(runs):
        kept = asked.kept_tokens
        assert kept is None or kept in QUICK.allowed_tokens(memory.allowance.quality_class)
        if place(kept) > place(before):
            assert place(kept) == place(before) + 1
            assert asked.reason is Reason.MEMORY_SHORT
            assert memory.readable(stale_s=QUICK.stale_seconds)
            assert memory.allowance.enforce
            assert memory.allowance.able
            if before is None:
                assert memory.baseline_known
                assert memory.prefix_hit_percent is not None
                assert memory.prefix_hit_percent <= QUICK.max_prefix_hit_percent
            else:
                assert memory.canary.complete


@given(RUNS)
def test_whatever_is_observed_a_loss_ends_all_budgets_in_the_next_decision(runs: Runs) -> None:
    for memory, before, asked, _ in played(runs):
        if before is not None and breached(memory.canary):
            assert asked.kept_tokens is None


@given(RUNS)
def test_whatever_is_observed_a_budget_comes_or_shrinks_only_once_the_last_move_has_settled(
    runs: Runs,
) -> None:
    """Back to a larger one it also goes for other reasons than memory, and those don't wait."""
    moved_s = 0.0 if runs[0] is not None else float("-inf")
    for _, before, asked, now in played(runs):
        if place(asked.kept_tokens) > place(before):
            assert now - moved_s >= QUICK.settle_seconds
        if asked.kept_tokens != before:
            moved_s = now


@given(LEVELS)
def test_whatever_memory_is_like_it_moves_one_rung_at_a_time_once_the_last_move_has_settled(
    runs: Runs,
) -> None:
    steps = [step for step in played(runs) if step[2].kept_tokens != step[1]]
    assert all(abs(place(asked.kept_tokens) - place(before)) == 1 for _, before, asked, _ in steps)
    assert all(later - earlier >= QUICK.settle_seconds for (*_, earlier), (*_, later) in pairwise(steps))
