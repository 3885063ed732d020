"""
Fewer tokens kept of each new request while KV memory is short: one rung of a few budgets at a time.

A smaller budget costs quality, so it comes only where memory has been short for a while or a request was
preempted, and where spec, document, engine and quality class allow it; it goes when memory would have room
without it. A request keeps the budget that it arrived with, so a move shows only as requests end: after each
there is a time to settle. Where a budget had to come back soon after it had been given up, it is given up
half as often, since a memory that is full without it and half empty with it would move it for ever.

A loss that the canaries read ends all budgets at once (`rung_guards`). None begins unless the canaries were
read with all tokens kept, or where requests share many prefixes, which bounded ones can't.
"""

from dataclasses import dataclass, replace
from typing import Final

from loadline_policies.decisions import Decision
from loadline_policies.kv.advices import Advice, advice
from loadline_policies.kv.engine_memories import (
    EngineMemory,
    QualityClass,
    Reason,
    Retained,
    RetentionPolicy,
)
from loadline_policies.kv.memory_windows import advanced
from loadline_policies.kv.rung_guards import guarded, is_read
from loadline_policies.kv.rung_settings import Config, RetentionMode
from loadline_policies.kv.rung_states import State

REGRETTED_S: Final = 600.0
"""A budget that comes back within this time was given up wrongly. Chosen: two times to settle."""

LONGEST_WAIT_S: Final = 3600.0
"""The longest time that a budget is kept before it is given up, after some were wrongly. Chosen."""

LEAST_BITS: Final = {QualityClass.FULL: 16, QualityClass.HIGH: 8, QualityClass.STANDARD: 4}
"""Bits of a number in the KV memory that a service of each class needs at least. Chosen."""

STUCK: Final = frozenset(
    {
        Reason.LAST_RUNG,
        Reason.QUALITY_CLASS,
        Reason.PREFIX_HITS,
        Reason.RECALL_LOST,
        Reason.DRIFTED,
        Reason.ENGINE_UNABLE,
    }
)
"""Where memory stays short for one of these, only a person can help."""

EVERYTHING: Final = 100
"""Percent."""

Decided = Decision[Retained, State]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one decision is made by, beside the state; `allowed` are the budgets that the class allows."""

    memory: EngineMemory
    config: Config
    now: float

    @property
    def allowed(self) -> tuple[int, ...]:
        return self.config.allowed_tokens(self.memory.allowance.quality_class)

    def larger(self, kept_tokens: int | None) -> int | None:
        """The budget one rung back from that; None for all tokens."""
        if kept_tokens is None:
            return None
        return min((one for one in self.allowed if one > kept_tokens), default=None)

    def smaller(self, kept_tokens: int | None) -> int | None:
        """The budget one rung further; None if none is."""
        return max((one for one in self.allowed if kept_tokens is None or one < kept_tokens), default=None)


def decide(memory: EngineMemory, state: State, config: Config, now: float) -> Decided:  # noqa: PLR0917
    """Keep fewer tokens of each new request while KV memory is short, and all of them when it has room again.

    `now` is in seconds on the clock of `since_s`.
    """
    turn = _Turn(memory, config, now)
    state = guarded(memory, _read(turn, _within(turn, state)), config, now=now)
    ended = _ended(turn, state)
    if ended is not None:
        return _kept(ended, turn, state.all_kept(now=now))
    if not is_read(memory, config):
        return _kept(Reason.READINGS_UNKNOWN, turn, state)
    if state.windows.is_short(config, now=now):
        return _climbed(turn, state)
    if _may_descend(turn, state):
        state = state.moved(turn.larger(state.kept_tokens), now=now, descended=True)
    return _kept(Reason.NO_PRESSURE if state.kept_tokens is None else Reason.MEMORY_SHORT, turn, state)


def _within(turn: _Turn, state: State) -> State:
    """The state whose budget is one that is allowed, moved at once if an edit forbids the one in force."""
    if state.kept_tokens is None or state.kept_tokens in turn.allowed:
        return state
    return state.moved(turn.larger(state.kept_tokens), now=turn.now)


def _read(turn: _Turn, state: State) -> State:
    """The state with one more reading of the memory."""
    relaxed = turn.memory.percent_with(turn.larger(state.kept_tokens), instead_of=state.kept_tokens)
    windows = advanced(state.windows, turn.memory, turn.config, relaxed_percent=relaxed, now=turn.now)
    return replace(state, windows=windows)


def _ended(turn: _Turn, state: State) -> Reason | None:
    """Why no request is bounded from now on, however short memory is; None if nothing forbids it."""
    if state.hold is not None:
        return state.hold.reason
    if turn.memory.allowance.able is False:
        return Reason.ENGINE_UNABLE
    return None if state.kept_tokens is None else _switched_off(turn)


def _switched_off(turn: _Turn) -> Reason | None:
    """Which of spec and document only observes; None if both enforce."""
    if not turn.memory.allowance.enforce:
        return Reason.NOT_ALLOWED
    return Reason.POLICY_OBSERVES if turn.config.retention is RetentionMode.OBSERVE else None


def _climbed(turn: _Turn, state: State) -> Decided:
    """The next smaller budget, unless something is against it."""
    smaller = turn.smaller(state.kept_tokens)
    against = _against_first(turn, state) if state.kept_tokens is None else _against_next(turn, state)
    if against in (Reason.NOT_ALLOWED, Reason.POLICY_OBSERVES):
        return Decision(Retained(reason=against, would_keep_tokens=smaller), state)
    if against is not None:
        return _kept(against, turn, state)
    state = replace(state.moved(smaller, now=turn.now), wait_s=_wait_s(turn, state))
    return _kept(Reason.MEMORY_SHORT, turn, state)


def _against_first(turn: _Turn, state: State) -> Reason | None:
    """Why no budget may be put in force where none is; None if nothing is against it."""
    memory, switched_off = turn.memory, _switched_off(turn)
    if not turn.allowed:
        return Reason.QUALITY_CLASS
    against = _prefixes(memory.prefix_hit_percent, most=turn.config.max_prefix_hit_percent) or switched_off
    if against is not None:
        return against
    if not memory.baseline_known:
        return Reason.BASELINE_UNKNOWN
    return Reason.SETTLING if _settles(turn, state) else None


def _prefixes(hit_percent: float | None, *, most: int) -> Reason | None:
    """Why requests keep the prefixes that they share; None if they are few, or nobody minds them."""
    if most == EVERYTHING:
        return None
    if hit_percent is None or not 0.0 <= hit_percent <= EVERYTHING:
        return Reason.PREFIX_HITS_UNKNOWN
    return Reason.PREFIX_HITS if hit_percent > most else None


def _against_next(turn: _Turn, state: State) -> Reason | None:
    """Why the budget in force may not be followed by a smaller one."""
    if _settles(turn, state):
        return Reason.SETTLING
    if turn.smaller(state.kept_tokens) is None:
        is_last = state.kept_tokens == turn.config.rung_tokens[-1]
        return Reason.LAST_RUNG if is_last else Reason.QUALITY_CLASS
    return None if turn.memory.canary.complete else Reason.READINGS_UNKNOWN


def _settles(turn: _Turn, state: State) -> bool:
    return turn.now - state.since_s < turn.config.settle_seconds


def _wait_s(turn: _Turn, state: State) -> float:
    """For how long a budget that comes now is kept at least: longer, if one was given up wrongly."""
    if not state.descended:
        return state.wait_s
    settle_s = float(turn.config.settle_seconds)
    if turn.now - state.since_s >= max(REGRETTED_S, 2 * settle_s, state.wait_s):
        return 0.0
    return min(LONGEST_WAIT_S, 2 * max(state.wait_s, settle_s))


def _may_descend(turn: _Turn, state: State) -> bool:
    if state.kept_tokens is None or _settles(turn, state) or turn.now - state.since_s < state.wait_s:
        return False
    return state.windows.is_roomy(turn.config, now=turn.now)


def _kept(reason: Reason, turn: _Turn, state: State) -> Decided:
    """What the state has in force; with advice where memory is short and only a person can help."""
    stuck = reason in STUCK and state.windows.is_short(turn.config, now=turn.now)
    found = _advice(turn) if stuck else ()
    return Decision(Retained(kept_tokens=state.kept_tokens, reason=reason, advice=found), state)


def _advice(turn: _Turn) -> tuple[Advice, ...]:
    memory, config = turn.memory, turn.config
    hits = memory.prefix_hit_percent
    return advice(
        demand_percent=memory.demand_percent,
        enough_percent=config.climb_percent,
        kv_bits=memory.kv_bits,
        least_bits=LEAST_BITS[memory.allowance.quality_class],
        shares_prefixes=hits is not None and hits > config.max_prefix_hit_percent,
    )


MEMORY_RUNGS = RetentionPolicy(
    name="memory-rungs",
    config=Config,
    start=State(),
    budgets=lambda config: config.rung_tokens,
    decide=decide,
)
