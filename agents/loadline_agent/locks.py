"""
That at most one agent uses a state directory.

Two agents on one node would take turns at calling each other's limits a conflict. A
lock on a file is the kernel's word, and goes with the process that holds it. When a
DaemonSet is rolled out a successor may start before its predecessor has ended: it waits
for that, since a container that failed would be held back for longer by the kubelet.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadline_policies.errors import InvalidInput

FILE = "agent.lock"

LOOK_AGAIN_S = 0.1
"""How often a successor looks whether its predecessor has gone: a lease is short. Chosen."""


@contextmanager
def exclusive(state_dir: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the directory's lock; InvalidInput if another process does for longer than `patience_s`."""
    file = os.open(state_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end_s = time.monotonic() + patience_s
        while not _locked(file):
            if time.monotonic() >= end_s:
                fix = "an agent runs with it; stop that one, or set its domain's mode to Observe"
                raise InvalidInput("state directory", str(state_dir), fix=fix)
            time.sleep(LOOK_AGAIN_S)
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
