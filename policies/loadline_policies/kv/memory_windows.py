"""
Since when an engine's KV memory is short, and since when it has room, as far as readings tell.

Both have to last before a policy acts. A reading may be missing now and then, but a longer gap ends both,
since what was in it isn't known: so memory of which nothing is known is neither short nor roomy.
"""

from dataclasses import dataclass, replace
from typing import Final

from loadline_policies.kv.engine_memories import EngineMemory
from loadline_policies.kv.rung_settings import Config

DIP_PERCENT: Final = 5
"""How far below its threshold memory may fall without ending to be short. Chosen: requests that end together
leave room for a moment."""

NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """What the last readings told; times are on the clock of the policy.

    `preemptions` is the engine's counter at `read_s`, and `preempted_s` when it grew last. `short_since_s`
    and `roomy_since_s` are None while memory isn't short, or has no room.
    """

    read_s: float = NEVER
    preemptions: int | None = None
    preempted_s: float = NEVER
    short_since_s: float | None = None
    roomy_since_s: float | None = None

    def is_short(self, config: Config, *, now: float) -> bool:
        """Whether memory has been short for long enough, or a request was preempted."""
        preempted = now - self.preempted_s < config.window_seconds
        return preempted or _lasts(self.short_since_s, config.window_seconds, now)

    def is_roomy(self, config: Config, *, now: float) -> bool:
        """Whether it has had room for long enough."""
        return _lasts(self.roomy_since_s, config.calm_seconds, now)

    def moved(self) -> "Windows":
        """The windows from which on another budget is in force: what was read before counts no more."""
        return Windows(read_s=self.read_s, preemptions=self.preemptions)


def advanced(
    windows: Windows, memory: EngineMemory, config: Config, *, relaxed_percent: float, now: float
) -> Windows:
    """The windows with one more reading. With the next larger budget memory would be full to
    `relaxed_percent`."""
    if now - windows.read_s > config.stale_seconds:
        windows = Windows()
    if not memory.readable(stale_s=config.stale_seconds):
        return windows
    last, total = windows.preemptions, memory.preemptions
    preempted = last is not None and total is not None and total > last
    windows = replace(windows, read_s=now, preemptions=total)
    if preempted:
        windows = replace(windows, preempted_s=now)
    was_short = windows.short_since_s is not None
    least = max(config.climb_percent - DIP_PERCENT, config.descend_percent)
    is_short = memory.pressure_percent > (least if was_short else config.climb_percent)
    roomy = relaxed_percent <= config.descend_percent and not preempted
    return replace(
        windows,
        short_since_s=_since(windows.short_since_s, is_short, now),
        roomy_since_s=_since(windows.roomy_since_s, roomy, now),
    )


def _since(since_s: float | None, holds: bool, now: float) -> float | None:
    if not holds:
        return None
    return now if since_s is None else since_s


def _lasts(since_s: float | None, seconds: float, now: float) -> bool:
    return since_s is not None and now - since_s >= seconds
