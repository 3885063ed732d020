"""
A person's order to the agent on a node: release it now, whatever its domain says.

The agent holds the state directory, so `loadline-agent release` can't give anything back beside it;
it leaves an order there and waits for what came of it. Whoever can write in that directory is
the agent's own user, and could write limits as well. An order that is old, or of another
boot, does nothing: its sender has given up waiting.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

ORDER, ANSWER = "release.order", "release.answer"

FRESH_S: Final = 15.0
"""How long an order may wait for the agent, which looks once a second. Chosen."""


class Answer(NamedTuple):
    """What came of an order: whether the node is disarmed, and a sentence for each GPU left behind."""

    released: bool
    left: tuple[str, ...] = ()


class ReleaseOrders:
    """Order and answer in one state directory; `clock` is CLOCK_BOOTTIME, `boot` the name of this boot."""

    def __init__(self, state_dir: Path, *, boot: str, clock: Callable[[], float]) -> None:
        self._order, self._answer = state_dir / ORDER, state_dir / ANSWER
        self._boot, self._clock = boot, clock

    def give(self) -> None:
        """Order it; OSError if the directory can't be written."""
        self._answer.unlink(missing_ok=True)
        _write(self._order, f"{self._boot} {self._clock()}")

    def take_back(self) -> None:
        """Order nothing any more."""
        self._order.unlink(missing_ok=True)

    def take(self) -> bool:
        """Whether the agent is to release now. An order is taken once."""
        try:
            text = self._order.read_text()
            self._order.unlink()
        except OSError:
            return False
        boot, _, given_s = text.partition(" ")
        try:
            age_s = self._clock() - float(given_s)
        except ValueError:
            return False
        return boot == self._boot and 0.0 <= age_s <= FRESH_S

    def answer(self, answer: Answer) -> None:
        """Tell what came of it."""
        _write(self._answer, json.dumps(answer))

    def answered(self) -> Answer | None:
        """What came of it; None while nothing has."""
        try:
            released, left = json.loads(self._answer.read_text())
        except (OSError, ValueError):
            return None
        return Answer(bool(released), tuple(map(str, left)))


def _write(path: Path, text: str) -> None:
    """As a whole or not at all, for the owner's eyes only."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w") as stream:
        stream.write(text)
    os.replace(draft, path)
