"""
Who couldn't show a certificate that is known here, and what that may cost.

It may be a new member, or one whose certificate is new, so there is a look for newly
published ones. It may as well be any pod that reaches the port, as often as it likes:
so there is one look at once, and then at most one in a while, which serves all that
have come meanwhile. Whoever shows no certificate at all is counted, and that is all.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

LOOK_EVERY_S: Final = 10.0
"""The least pause between two looks for certificates. Chosen: a member retries every second or two."""

log = structlog.get_logger("loadline.agent")


class Strangers:
    """Counts handshakes that failed by `refused`, and awaits `relist` in the background for certificates."""

    def __init__(
        self,
        relist: Callable[[], Awaitable[None]],
        refused: Callable[[str], None],
        *,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._relist, self._refused, self._every_s = relist, refused, every_s
        self._asked = False
        self._task: asyncio.Task[None] | None = None

    def failed(self, error: Exception) -> None:
        """Count a handshake that ended so; one for an unknown certificate asks for a look."""
        if not isinstance(error, ssl.SSLError | ConnectionAbortedError):
            return
        self._refused("Stranger")
        if isinstance(error, ssl.SSLCertVerificationError):
            self._asked = True
            if self._task is None or self._task.done():
                self._task = asyncio.ensure_future(self._look())

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        while self._asked:
            self._asked = False
            try:
                await self._relist()
            except Exception as error:  # whatever a stranger set off must not be the last look
                log.warning("the published certificates can't be read again", error=repr(error))
            await asyncio.sleep(self._every_s)
