"""
Who cleans up when nobody can: a bed's last act, in a process of its own.

A test bed must leave no process and no file behind, also when its owner is killed
and runs no code any more. So each bed has a janitor, a process that does nothing but
wait until its owner has closed the pipe between them or is gone, and then sweeps.
An orderly end takes the same road, so that it is walked in every run.

What belongs to a bed is told by the environment variable `LOADLINE_BED`, which all
its processes inherit, also those that made a session of their own. This file is run
by path, in a bare interpreter: it imports the standard library only.
"""

import os
import select
import shutil
import signal
import sys
import time

MARK = "LOADLINE_BED"
"""The environment variable that every process of a bed carries: the bed's directory."""

SWEEP_LIMIT_S = 10.0
"""A killed process is gone within milliseconds; one in an uninterruptible call is not waited for."""


def processes_of(directory: str) -> list[int]:
    """The ids of the live processes that carry the mark of this directory, other than this one."""
    mark = f"{MARK}={directory}".encode()
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _carries(pid, mark)]


def sweep(directory: str) -> None:
    """Kill what carries the directory's mark, then remove the directory. Doing it twice does no harm."""
    deadline_s = time.monotonic() + SWEEP_LIMIT_S
    while (pids := processes_of(directory)) and time.monotonic() < deadline_s:
        for pid in pids:
            _kill(pid)
        time.sleep(0.02)
    shutil.rmtree(directory, ignore_errors=True)


def wait_for_the_end(owner: int) -> None:
    """Return once the pipe on stdin is closed or the owner has ended, whichever is first.

    The pipe alone would not do: a child that the owner forked holds its other end too.
    """
    waited: list[int] = [sys.stdin.fileno()]
    try:
        waited.append(os.pidfd_open(owner))
    except ProcessLookupError:
        return
    while os.getppid() == owner:
        ready, _, _ = select.select(waited, [], [])
        if ready != waited[:1] or not os.read(waited[0], 1024):
            return


def _carries(pid: int, mark: bytes) -> bool:
    """A zombie has no environment left, and a process of another user can't be of this bed."""
    if pid == os.getpid():
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:
        return False


def _kill(pid: int) -> None:
    """One that ended by itself meanwhile is as good as killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    wait_for_the_end(owner=int(sys.argv[2]))
    sweep(sys.argv[1])
