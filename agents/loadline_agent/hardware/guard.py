"""
The last one awake on a node: it lowers the limits when the agent can't.

A process of its own, in the pod a container of its own. It shares with the
agent nothing but the file of `armed_records`, and touches no network. While a record
is armed it looks at it until the deadline; after that it steps every GPU to
min(current, safe), and does so again at each look, so that an agent that wakes
up late and acts on an old order is corrected. It never raises a limit. A record
that can't be read counts as expired, by the last one that could.

It must not die, and it runs on every node: hence it catches everything and
counts it, calls NVML by ctypes (pynvml costs 5 MiB, 18 without a bytecode
cache) and imports no argparse, logging or dataclasses. It ends by itself only where
it is of no use any more: a driver of another version than its library answers nothing, and
a process can't load another one in its place. What it did is in its
own part of the record, from where the agent exports it.
"""

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial

from loadline_agent.boot_clock import boottime
from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import ArmedRecord, ArmedRecordFile, GpuRecord, GuardReport
from loadline_policies.power.protocol.bounds import GPU_WATTS
from loadline_policies.power.protocol.step_downs import lowered_mw

LOOK_S = 0.5
"""The longest sleep: how late a deadline that was moved, or an agent's late write, is seen."""

OUTDATED_AFTER_S = 60.0
"""How long NVML must say nothing but that it is of another version before the guard ends. Chosen: an upgrade
replaces library and driver one after the other."""

UNMATCHED_FOR_S = 660.0
"""The same for a guard that has never reached the driver. Chosen: longer than the ten minutes after which the
kubelet forgets earlier ends, so it never backs off, and some guard is there when the driver is."""

FORGET_EVERY_S = 10.0
"""How often NVML is loaded anew for one GPU that doesn't answer; loading it can take the driver a second."""

_LIBRARY = "libnvidia-ml.so.1"
_OTHER_VERSION = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH
_OUTDATED = (
    "the driver in the kernel is of another version than the library that this guard has loaded (NVML"
    " answered 18): delete the agent's pod; if that doesn't help, reboot the node"
)
_MOST_MW = GPU_WATTS[1] * 1000
_CURRENT_LIMIT, _REQUESTED_LIMIT = 190, 192
_FIELDS = struct.Struct("IIqqIIQ" * 2)  # id, scope, timestamp, latency, type, error, value

Clock = Callable[[], float]


class NvmlFailed(Exception):
    """A call that NVML answered with an error code."""


class Outdated(NvmlFailed):
    """The driver is of another version than the library that this process has loaded."""


class Driver:
    """The five calls of NVML that a guard needs, by ctypes; any of them may raise NvmlFailed or OSError."""

    def __init__(self) -> None:
        self._nvml: ctypes.CDLL | None = None
        self._handles: dict[str, ctypes.c_void_p] = {}
        self._fields = ctypes.create_string_buffer(_FIELDS.size)

    def forget(self) -> None:
        """Let NVML go, so that the next call loads it anew: after an error, or when nothing is armed."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
        self._nvml = None
        self._handles.clear()

    def ready(self, uuid: str) -> None:
        """Load NVML and find a GPU beforehand: on an idle driver that can take seconds."""
        self._handle(uuid)

    def lower(self, uuid: str, safe_mw: int) -> bool:
        """Step one GPU to min(current, safe); whether that took a write."""
        handle = self._handle(uuid)
        enforced, requested = self._limits(handle)
        lowest = self._lowest_mw(handle)
        target = lowered_mw(enforced_mw=enforced, requested_mw=requested, safe_mw=safe_mw, lowest_mw=lowest)
        if target is None:
            return False
        self._call("nvmlDeviceSetPowerManagementLimit", handle, ctypes.c_uint(target))
        return True

    def _lowest_mw(self, handle: ctypes.c_void_p) -> int:
        """The lowest limit that can be set, if it is told: safe was in the range when the node was armed."""
        lowest, highest = ctypes.c_uint(), ctypes.c_uint()
        ends = ctypes.byref(lowest), ctypes.byref(highest)
        try:
            self._call("nvmlDeviceGetPowerManagementLimitConstraints", handle, *ends)
        except NvmlFailed:
            return 0
        return lowest.value if lowest.value <= highest.value <= _MOST_MW else 0

    def _limits(self, handle: ctypes.c_void_p) -> tuple[int, int]:
        """Limits in force and asked for, in mW; where the fields are missing, by the older calls."""
        row = (0, 0, 0, 0, 0, 0)
        _FIELDS.pack_into(self._fields, 0, _CURRENT_LIMIT, *row, _REQUESTED_LIMIT, *row)
        self._call("nvmlDeviceGetFieldValues", handle, ctypes.c_int(2), self._fields)
        rows = _FIELDS.unpack_from(self._fields)
        enforced = (
            self._number("nvmlDeviceGetEnforcedPowerLimit", handle) if rows[5] else rows[6] & 0xFFFFFFFF
        )
        requested = (
            self._number("nvmlDeviceGetPowerManagementLimit", handle) if rows[12] else rows[13] & 0xFFFFFFFF
        )
        return enforced, requested

    def _number(self, name: str, handle: ctypes.c_void_p) -> int:
        answer = ctypes.c_uint()
        self._call(name, handle, ctypes.byref(answer))
        return answer.value

    def _handle(self, uuid: str) -> ctypes.c_void_p:
        if uuid not in self._handles:
            handle = ctypes.c_void_p()
            self._call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid.encode()), ctypes.byref(handle))
            self._handles[uuid] = handle
        return self._handles[uuid]

    def _call(self, name: str, *arguments: object) -> None:
        if self._nvml is None:
            library = ctypes.CDLL(_LIBRARY)
            if code := library.nvmlInit_v2():
                if code == _OTHER_VERSION:
                    raise Outdated(_OUTDATED)
                raise NvmlFailed(f"nvmlInit_v2 answered {code}")
            self._nvml = library
        if code := getattr(self._nvml, name)(*arguments):
            raise NvmlFailed(f"{name} answered {code}")


class Guard:
    """One look after another; all its state is the last record that it could read, and its counts."""

    def __init__(self, state: ArmedRecordFile, driver: Driver, *, clock: Clock, boot: str) -> None:
        self._state, self._driver, self._clock, self._boot = state, driver, clock, boot
        self._last = ArmedRecord(boot)
        self._forgotten_s = float("-inf")
        self._outdated_since_s: float | None = None
        self._reached = False
        self.looks = self.interventions = self.errors = 0

    def look(self) -> float:
        """Read the record, act if its time is over, report; the seconds to sleep. Never raises."""
        self.looks += 1
        readable = self._read()
        if not self._last.armed:
            self._forget()
            return self._report(armed_records.IDLE if readable else armed_records.BLIND)
        left_s = self._last.deadline_s - self._clock()
        if readable and left_s > 0.0:
            self._make_ready()
            self._report(armed_records.WATCHING)
            return min(LOOK_S, left_s)
        self.step_down()
        return self._report(armed_records.EXPIRED)

    @property
    def outdated(self) -> bool:
        """Whether nothing can be done here any more but by another process."""
        since_s, patience_s = self._outdated_since_s, OUTDATED_AFTER_S if self._reached else UNMATCHED_FOR_S
        return since_s is not None and self._clock() - since_s >= patience_s

    def step_down(self) -> None:
        """Every GPU of the last armed record to min(current, safe); errors are counted, and tried again."""
        if not self._last.armed:
            return
        self._fix([self._attempt(partial(self._lower, gpu)) for gpu in self._last.gpus])

    def _make_ready(self) -> None:
        ready = self._driver.ready
        self._fix([self._attempt(partial(ready, gpu.uuid)) for gpu in self._last.gpus])

    def _fix(self, done: list[bool]) -> None:
        """Load NVML anew where nothing works, and now and then where a GPU doesn't: it may be back."""
        now = self._clock()
        if any(done):
            self._outdated_since_s, self._reached = None, True
        if not any(done) or (not all(done) and now - self._forgotten_s >= FORGET_EVERY_S):
            self._forgotten_s = now
            self._forget()

    def _lower(self, gpu: GpuRecord) -> None:
        self.interventions += self._driver.lower(gpu.uuid, round(gpu.safe_watts * 1000))

    def _read(self) -> bool:
        """Take the record if it can be believed. A disarmed one older than the armed one can't."""
        try:
            record = self._state.read()
        except Exception:
            self.errors += 1
            return False
        if self._last.armed and not record.armed and record.sequence <= self._last.sequence:
            return False
        self._last = record
        return True

    def _forget(self) -> None:
        self._attempt(self._driver.forget)

    def _attempt(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Outdated:
            if self._outdated_since_s is None:
                self._outdated_since_s = self._clock()
            self.errors += 1
            return False
        except Exception:
            self.errors += 1
            return False
        return True

    def _report(self, state: int) -> float:
        counts = (self.looks, self.interventions, self.errors)
        report = GuardReport(self._boot, os.getpid(), self._clock(), *counts, state)
        self._attempt(lambda: self._state.write_report(report))
        return LOOK_S


def main(argv: Sequence[str]) -> int:
    """Guard the node until SIGTERM; `--state DIR` is the agent's state directory.

    At SIGTERM the limits step down as at a deadline, since nobody would do it
    after that. 2 is a wrong command line, 1 a state directory that isn't ours, or a
    driver that was upgraded: the container that is started next has its library.
    """
    if len(argv) != 2 or argv[0] != "--state":
        print("usage: loadline-agent guard --state DIR", file=sys.stderr)
        return 2
    try:
        armed_records.prepare(argv[1])
        boot = armed_records.boot_id()
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    guard = Guard(ArmedRecordFile(argv[1], boot), Driver(), clock=boottime, boot=boot)
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    while signal.sigtimedwait(stops, guard.look()) is None:
        if guard.outdated:
            print(f"error: {_OUTDATED}", file=sys.stderr)
            return 1
    guard.step_down()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
