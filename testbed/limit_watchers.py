"""
Somebody who looks on, many times a second, while a test or a demo does something.

What rises for a moment and falls again is missed by whoever looks before and after; so a
thread looks all the time that a block lasts. `Watcher` is that thread, `LimitWatcher` the one
who remembers the limits of a node and when they moved.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

OFTEN_S = 0.002


class Watcher:
    """Calls `look` again and again, in a thread, while its block lasts."""

    def __init__(self, look: Callable[[], None], *, every_s: float) -> None:
        self._look, self._every_s = look, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()


class LimitWatcher(Watcher):
    """Remembers what limits there were, in watts, each with the time from which it was so."""

    def __init__(self, limits: Callable[[], Sequence[float]], *, every_s: float = OFTEN_S) -> None:
        super().__init__(self._remember, every_s=every_s)
        self.seen: list[tuple[float, tuple[float, ...]]] = []
        self._limits = limits

    @property
    def rises(self) -> list[float]:
        """When some limit was raised."""
        return [
            at_s
            for (_, before), (at_s, after) in zip(self.seen, self.seen[1:], strict=False)
            if any(new > old for old, new in zip(before, after, strict=True))
        ]

    def _remember(self) -> None:
        limits = tuple(self._limits())
        if not self.seen or limits != self.seen[-1][1]:
            self.seen.append((time.monotonic(), limits))
