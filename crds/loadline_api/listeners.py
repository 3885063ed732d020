"""
Opening a port so that it can be cut off: nothing stays open of a start that was cancelled.

asyncio listens one turn of the loop before it says so. A start that is cancelled in that turn
would leave a listening socket to the garbage collector. Agent and operator both open ports, so
it is here, where both may import it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


async def start_or_close(start: Coroutine[Any, Any, None], close: Callable[[], Awaitable[None]]) -> None:
    """Await `start`. If that fails or is cancelled, wait until it has ended, `close`, and raise why."""
    starting = asyncio.ensure_future(start)
    try:
        await asyncio.shield(starting)
    except BaseException:
        await asyncio.gather(starting, return_exceptions=True)
        await close()
        raise
