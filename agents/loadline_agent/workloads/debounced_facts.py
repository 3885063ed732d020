"""
Facts that turn only once their new value has held: what is written into the API must not flap.

A latency may cross its objective with every scrape and a cap may come and go within a second;
each change would be a write, and a Kubernetes event for whoever watches. So a fact is shown as
it was until the new value has held for a while. Nothing here knows what a fact is about.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

HOLD_S = 15.0
"""How long a fact holds before it turns. Chosen: three scrapes agree."""


FORGET_S = 60.0
"""How long nothing must be known before that is said. Chosen: a pause of the traffic is no news."""


T = TypeVar("T")


@dataclass(slots=True)
class _Held(Generic[T]):
    shown: T
    seen: T
    since_s: float


class Debounced(Generic[T]):
    """Facts by key, each shown as it was until its new value has held for `HOLD_S`.

    The first value is shown at once, except that None gives way to what becomes known only after
    it has held; what was known gives way to None after `FORGET_S`.
    """

    def __init__(self) -> None:
        self._held: dict[object, _Held[T]] = {}

    def see(self, key: object, value: T, *, now: float) -> T:
        """What to show of `key`, which is `value` now."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(value, value, now)
        if value != held.seen:
            held.seen, held.since_s = value, now
        if now - held.since_s >= (FORGET_S if value is None else HOLD_S):
            held.shown = value
        return held.shown

    def recall(self, key: object, value: T, *, now: float) -> None:
        """Show `value` of a key until another one has held from now on."""
        self._held[key] = _Held(value, value, now)

    def keep(self, keys: Iterable[object]) -> None:
        """Forget all others."""
        kept = set(keys)
        self._held = {key: held for key, held in self._held.items() if key in kept}
