"""
What the policy `memory-rungs` remembers between two decisions about one engine.

All of it is data, so that any decision can be repeated from a journal.
"""

from dataclasses import dataclass, field, replace

from loadline_policies.kv.engine_memories import EngineMemory, QualityClass, Reason
from loadline_policies.kv.memory_windows import NEVER, Windows
from loadline_policies.kv.rung_settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Until when no request is bounded, why, and under which settings: an edit of these ends it."""

    until_s: float
    reason: Reason
    config: Config
    enforce: bool
    quality_class: QualityClass

    def stands(self, memory: EngineMemory, config: Config, *, now: float) -> bool:
        """Whether it is in force, and nobody has edited anything since."""
        allowance = memory.allowance
        asked = config, allowance.enforce, allowance.quality_class
        return now < self.until_s and asked == (self.config, self.enforce, self.quality_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The budget that was asked for last and since when, and what is to be remembered of those before.

    `descended` says whether the last move was to a larger budget or to none because memory had room, and
    `wait_s` for how long a budget is kept before such a move. `unread_since_s` is since when a reading has
    been missing under a budget.
    """

    kept_tokens: int | None = None
    since_s: float = NEVER
    descended: bool = False
    wait_s: float = 0.0
    windows: Windows = field(default_factory=Windows)
    hold: Hold | None = None
    unread_since_s: float | None = None

    def moved(self, kept_tokens: int | None, *, now: float, descended: bool = False) -> "State":
        """The state from which on requests that arrive get another budget."""
        return replace(
            self, kept_tokens=kept_tokens, since_s=now, descended=descended, windows=self.windows.moved()
        )

    def all_kept(self, *, now: float) -> "State":
        """The state without a budget, where memory isn't the reason: how short it is stays known."""
        if self.kept_tokens is None:
            return self
        return replace(self, kept_tokens=None, since_s=now, descended=False)
