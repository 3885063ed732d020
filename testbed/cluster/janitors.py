"""
Who cleans up when nobody can: a bed's last act, in a process of its own.

A test bed must leave no process and no file behind, also when its owner is killed
and runs no code any more. So each bed has a janitor, a process that does nothing but
wait until its owner has closed the pipe between them or is gone, and then sweeps.
An orderly end takes the same road, so that it is walked in every run.

What belongs to a bed is told by the environment variable `LOADLINE_BED`, which all
its processes inherit, also those that made a session of their own. A node's containers
carry none: they end with their node's process 1, which does, and are awaited through
their control groups, named after the bed's directory.

The last act is to remove that directory, as root perhaps. So nothing is removed while
anything is mounted there: it is unmounted first, or the directory stays.

This file is run by path, in a bare interpreter: it imports the standard library only.
"""

import ctypes
import glob
import os
import re
import select
import shutil
import signal
import sys
import time

MARK = "LOADLINE_BED"
"""The environment variable that every process of a bed carries: the bed's directory."""

DETACH = 0x2
ESCAPED = re.compile(rb"\\([0-7]{3})")
"""How the kernel writes blanks in the names of mount points."""

_libc = ctypes.CDLL(None, use_errno=True)

SWEEP_LIMIT_S = 10.0
"""A killed process is gone within milliseconds; one in an uninterruptible call is not waited for."""


def processes_of(directory: str) -> list[int]:
    """The ids of the live processes that carry the mark of this directory, other than this one."""
    mark = f"{MARK}={directory}".encode()
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _carries(pid, mark)]


def sweep(directory: str) -> None:
    """Kill what carries the directory's mark, then remove the directory. Doing it twice does no harm."""
    deadline_s = time.monotonic() + SWEEP_LIMIT_S
    while (_kill_all(directory) or not _remove_groups(directory)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    if _unmounted(directory):
        shutil.rmtree(directory, ignore_errors=True)


def mounts_below(directory: str) -> list[str]:
    """What is mounted at or below a directory, the innermost first."""
    with open("/proc/self/mountinfo", "rb") as table:
        points = [os.fsdecode(ESCAPED.sub(_unescaped, line.split()[4])) for line in table]
    home = os.path.realpath(directory)
    return sorted((p for p in points if p == home or p.startswith(f"{home}/")), reverse=True)


def groups_of(directory: str) -> list[str]:
    """The control groups of a bed, in each hierarchy, whether cgroup v1 or v2."""
    name = glob.escape(os.path.basename(directory))
    if not name:
        return []
    return [*glob.glob(f"/sys/fs/cgroup/{name}/"), *glob.glob(f"/sys/fs/cgroup/*/{name}/")]


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


def _unescaped(escaped: re.Match[bytes]) -> bytes:
    return bytes([int(escaped[1], 8)])


def _kill_all(directory: str) -> bool:
    """Kill what carries the mark; whether there was anything."""
    pids = processes_of(directory)
    for pid in pids:
        _kill(pid)
    return bool(pids)


def _remove_groups(directory: str) -> bool:
    """Whether the control groups are gone; one that a dying container is still in stays for another try."""
    for group in groups_of(directory):
        for path, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                continue
    return not groups_of(directory)


def _unmounted(directory: str) -> bool:
    """Whether nothing is mounted at or below the directory any more; what was there is unmounted."""
    for point in mounts_below(directory):
        _libc.umount2(point.encode(), DETACH)
    return not mounts_below(directory)


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
