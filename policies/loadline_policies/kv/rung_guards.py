"""
What ends all budgets at once: a loss that the canaries read, and readings that are missing for too long.

A loss of quality comes from the budget, the model and the prompts, none of which changes by waiting. So after
one requests stay unbounded until a person edits the document or the spec, unless the document says for how
long. Missing readings come and go, and end budgets for an hour.
"""

from dataclasses import replace
from typing import Final

from loadline_policies.kv.engine_memories import CanaryReadings, EngineMemory, Reason
from loadline_policies.kv.rung_settings import Config
from loadline_policies.kv.rung_states import Hold, State

UNREAD_HOLD_S: Final = 3600.0
"""How long no request is bounded after readings were missing for too long. Chosen."""


def is_read(memory: EngineMemory, config: Config) -> bool:
    """Whether it is known how full the memory is, and what the engine can."""
    return memory.allowance.able is not None and memory.readable(stale_s=config.stale_seconds)


def guarded(memory: EngineMemory, state: State, config: Config, *, now: float) -> State:
    """The state with what the readings forbid from now on: it has a hold while no request may be bounded."""
    if state.hold is not None and not state.hold.stands(memory, config, now=now):
        state = replace(state, hold=None)
    if state.kept_tokens is None:
        return replace(state, unread_since_s=None)
    breach = _breach(memory.canary, config)
    if breach is not None:
        hold_s = float(config.retry_seconds) if config.retry_seconds else float("inf")
        return replace(state, hold=_hold(breach, memory, config, until_s=now + hold_s))
    if memory.canary.complete and is_read(memory, config):
        return replace(state, unread_since_s=None)
    since_s = now if state.unread_since_s is None else state.unread_since_s
    if now - since_s >= config.evidence_seconds:
        unread = _hold(Reason.READINGS_UNKNOWN, memory, config, until_s=now + UNREAD_HOLD_S)
        return replace(state, hold=unread)
    return replace(state, unread_since_s=since_s)


def _breach(canary: CanaryReadings, config: Config) -> Reason | None:
    """Which reading is beyond its limit; one that is no number is."""
    loss, drift = canary.recall_loss_fraction, canary.drift_nats
    if loss is not None and not loss <= config.max_recall_loss_percent / 100:
        return Reason.RECALL_LOST
    if drift is not None and not drift <= config.max_canary_drift_millinats / 1000:
        return Reason.DRIFTED
    return None


def _hold(reason: Reason, memory: EngineMemory, config: Config, *, until_s: float) -> Hold:
    return Hold(
        until_s=until_s,
        reason=reason,
        config=config,
        enforce=memory.allowance.enforce,
        quality_class=memory.allowance.quality_class,
    )
