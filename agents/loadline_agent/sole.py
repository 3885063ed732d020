"""
That at most one agent uses a state directory.

Two agents on one node would take turns at calling each other's limits a conflict. A
lock on a file is the kernel's word, and goes with the process that holds it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadline_policies.errors import InvalidInput

FILE = "agent.lock"


@contextmanager
def sole(state_dir: Path) -> Iterator[None]:
    """Hold the directory's lock; InvalidInput if another process does."""
    file = os.open(state_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            mend = "an agent runs with it; stop that one, or set its domain's mode to Observe"
            raise InvalidInput("state directory", str(state_dir), mend) from error
        yield
    finally:
        os.close(file)
