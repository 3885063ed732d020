"""
How much of one kind of work is done in one turn of the event loop.

asyncio does whatever is ready before it looks for anything new. When a loop has stood still, or more comes
than it has time for, a whole row's reports are ready at once, and all else waits for all of them, again at
each of its steps: a renewal of the Kubernetes Lease has some ten. Whoever takes its turn here lets
everybody else have theirs in between, and nothing takes longer in sum.
"""

import asyncio
from collections import deque


class Turns:
    """Lets at most so many go on in each turn of the loop, first come first served."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refilling = False

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        if not self._refilling:
            self._refilling = True
            loop.call_soon(self._refill)
        if self._left:
            self._left -= 1
            return
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _refill(self) -> None:
        """Once a turn, as long as there is anything to count: those who wait go first."""
        self._left = self._most
        while self._left and self._waiting:
            one = self._waiting.popleft()
            if not one.done():
                one.set_result(None)
                self._left -= 1
        self._refilling = self._left < self._most
        if self._refilling:
            asyncio.get_running_loop().call_soon(self._refill)
