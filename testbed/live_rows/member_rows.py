"""
A row of members on a bed, brought up as a context manager: after it nothing is left, however it began.

A row enters all that it makes into `_stack` as it goes, so that the last is the first to end. Agents and
guards are asked to end at once, since the bed waits for one after the other; a stopped one must go on first.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from testbed.cluster.bed import Bed
from testbed.cluster.waits import wait_for
from testbed.live_rows.members import Member

PATIENCE_S: Final = 120.0
"""For any step of the bring-up, on a machine that has other things to do as well."""


class MemberRow(ABC):
    """Inside it everything runs on `bed`; `members` are those that have been made so far."""

    bed: Bed

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._bring_up()
        except BaseException as error:
            self._end(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(kind, error, trace)

    def until(self, holds: Callable[[], bool], what: str, *, within_s: float = PATIENCE_S) -> None:
        """Wait until something is so; GaveUp if that takes too long."""
        wait_for(lambda: holds() or None, what, standstill_s=within_s, why=lambda: f"read {self.bed.logs}")

    @abstractmethod
    def _bring_up(self) -> None:
        """Start everything; BedError if something doesn't come up."""

    def _end(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (one for member in self.members.values() for one in member.processes):
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)
        self._stack.__exit__(kind, error, trace)
