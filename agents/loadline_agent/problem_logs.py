"""
What isn't as it should be in what the API server declares, written into the log.

A policy that can't be used, a node that publishes another one's certificate, an API server that
is away: the agent goes on with the last good state, and nobody would hear of it. Each sentence
is written when it begins, and no more than a few at a time, since those who cause them may be
as many and as inventive as they like.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

EVERY_S: Final = 30.0
"""How often it is looked. Chosen: what passes by itself within that is worth no line."""

MOST: Final = 8
"""Lines at a time. Chosen."""

log = structlog.get_logger("loadline.agent")


class ProblemLog:
    """Writes what is new among `problems()`."""

    def __init__(self, problems: Callable[[], Iterable[str]]) -> None:
        self._problems = problems
        self._told: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.look()

    def look(self) -> None:
        """Write what wasn't so at the last look."""
        problems = frozenset(self._problems())
        fresh = sorted(problems - self._told)
        for problem in fresh[:MOST]:
            log.warning("a declaration can't be used", problem=problem)
        if len(fresh) > MOST:
            log.warning("further declarations can't be used", problems=len(fresh) - MOST)
        self._told = problems
