"""A clock that a test sets."""

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Seconds; nothing but the test moves them."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
