"""
What an HTTP server of ours writes into the log: little, whatever is sent to it.

aiohttp writes a traceback for each request that is none, and anybody who reaches the port may
send a thousand. Agent and operator both give it this logger. aiohttp itself isn't imported here.
"""

import logging
import time
from typing import Final

LOG_EVERY_S: Final = 60.0
"""How often there may be a line. Chosen."""


class _Paced(logging.Filter):
    """Lets a record pass if the last one was long enough ago."""

    def __init__(self) -> None:
        super().__init__()
        self._from_s = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._from_s:
            return False
        self._from_s = now + LOG_EVERY_S
        return True


HTTP_LOG: Final = logging.getLogger("loadline.http")
"""For a runner's `logger`."""

HTTP_LOG.addFilter(_Paced())


def say_exhausted(error: OSError) -> None:
    """Write that no connection can be taken, most likely for want of descriptors."""
    HTTP_LOG.error("no connection can be taken: %s", error)
