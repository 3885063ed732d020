"""
What agent and guard know in common: one small file, and nothing else.

The agent writes down until when its limits hold, where each GPU falls after
that, and what it found before its first write; the guard writes that it is
alive and what it did. Each has two slots of its own and fills them in turn,
with a sequence number and a checksum. A write that was cut short therefore
leaves the record before it, whose deadline passes all the sooner. `Unreadable`
is what remains when both slots are bad; the guard then acts as at a deadline.

The file is read and written by name at every turn, not kept mapped: a mapping
of a file that somebody truncates kills its process, and the guard must not die
of that. The pages in memory are the same.

A record of another boot is void: its deadline is on another clock, and the
driver has forgotten the limits.

Versions of agent and guard may follow each other in either direction on an armed
node. What a later one adds stands at the record's end, behind a zero byte, and is
passed over here. What can't be said there is another form, which the magic names:
a record in it is unreadable, never «not armed», for limits would be nobody's then.
Head and checksum are the same in every form. The guard pays for every import of this module,
so it stays with plain tuples and the smallest part of the standard library.
"""

import os
import stat
import struct
import zlib
from typing import NamedTuple

from loadline_policies.errors import InvalidInput, LoadlineError

FILE = "limits.record"
MAX_GPUS = 32
_SLOT = 4096
_HEAD = struct.Struct("<8sIIQ")  # magic, CRC of all that follows it, length of the payload, sequence
_CRC_FROM = 12
_LEASE = struct.Struct("<36s?xxxIdQ")  # boot id, armed, count of GPUs, deadline, version of the plan
_GPU = struct.Struct("<48sIiI")  # UUID, safe mW, mW found (-1: not looked yet), MHz found (0: not locked)
_REPORT = struct.Struct("<36sIdQQQI")  # boot id, pid, heartbeat, looks, interventions, errors, state
_FORMS = b"LLREC"
_MAGIC = _FORMS + b"\x00\x00\x01"
_LATER = b"\x00"  # ends what this version knows of a record
_MEND = "run the version that wrote it, or delete it if the machine has booted since"
UUID_BYTES = 48
_FOUND_NOTHING = -1
_AGENT, _GUARD = 0, 2  # first slots


class _Slot(NamedTuple):
    """What lies in a slot; sequence 0 was never written, and `known` is False for another form's."""

    sequence: int
    payload: bytes
    known: bool = True


IDLE, WATCHING, EXPIRED, BLIND = 0, 1, 2, 3
STATES = ("idle", "watching", "expired", "blind")
"""What a guard is doing; `blind` has no record that it could act by."""


class Unreadable(LoadlineError):
    """The record is torn, gone or in another form; count its deadline as past."""


class GpuRecord(NamedTuple):
    """Where a GPU falls, and what it was before us; `found_mhz` None is not locked."""

    uuid: str
    safe_watts: float
    found_watts: float | None = None
    found_mhz: int | None = None


class ArmedRecord(NamedTuple):
    """What the agent promises. `deadline_s` is CLOCK_BOOTTIME of the boot that `boot_id` names.

    `sequence` counts the writes; it is set by reading, and ignored by writing. `domain` is whose
    lease armed the node; empty in a record of a version that didn't write it.
    """

    boot_id: str
    armed: bool = False
    deadline_s: float = 0.0
    plan_version: int = 0
    gpus: tuple[GpuRecord, ...] = ()
    sequence: int = 0
    domain: str = ""


class GuardReport(NamedTuple):
    """What the guard says of itself; counts are since it started, `state` is an index of STATES."""

    boot_id: str
    pid: int
    heartbeat_s: float
    looks: int
    interventions: int
    errors: int
    state: int


def boot_id(path: str = "/proc/sys/kernel/random/boot_id") -> str:
    """The name of this boot of the machine."""
    with open(path) as file:
        return file.read().strip()


def prepare(directory: str) -> None:
    """Make the state directory, for its owner's eyes only; InvalidInput if it is somebody else's."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise InvalidInput(
            "state directory", directory, fix="name a real directory that the agent's user owns"
        )
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)  # a hostPath volume is made with 0755


class ArmedRecordFile:
    """The record in a state directory, as the process of one boot sees it."""

    def __init__(self, directory: str, boot: str) -> None:
        self._path = os.path.join(directory, FILE)
        self._boot = boot

    def write(self, record: ArmedRecord) -> None:
        """Replace the agent's record; OSError if the disk refuses, and the one before stays."""
        if len(record.gpus) > MAX_GPUS:
            raise InvalidInput("gpus", len(record.gpus), fix=f"a record holds at most {MAX_GPUS}")
        gpus = b"".join(_packed(gpu) for gpu in record.gpus)
        counted = (record.armed, len(record.gpus), record.deadline_s, record.plan_version)
        # The domain comes last, where a version that doesn't know of it never looks.
        self._put(_AGENT, _LEASE.pack(record.boot_id.encode(), *counted) + gpus + record.domain.encode())

    def read(self) -> ArmedRecord:
        """The newest whole record; an unarmed one if there is none of this boot; Unreadable if torn."""
        slot = self._get(_AGENT)
        if not slot.payload:
            return ArmedRecord(self._boot)
        try:
            record = _record_in(slot)
        except (struct.error, UnicodeDecodeError) as error:
            raise Unreadable(f"the record in {self._path} contradicts itself ({error}); {_MEND}") from error
        return record if record.boot_id == self._boot else ArmedRecord(self._boot, sequence=slot.sequence)

    def write_report(self, report: GuardReport) -> None:
        """Replace the guard's report; OSError if the disk refuses."""
        self._put(_GUARD, _REPORT.pack(report.boot_id.encode(), *report[1:]))

    def read_report(self) -> GuardReport | None:
        """What the guard last said in this boot; None if it hasn't; Unreadable if torn."""
        slot = self._get(_GUARD)
        if not slot.payload:
            return None
        boot, *rest = _REPORT.unpack_from(slot.payload)
        return GuardReport(self._boot, *rest) if boot.decode() == self._boot else None

    def _put(self, first: int, payload: bytes) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            sequence = 1 + max((slot.sequence for slot in _slots(file, first) if slot), default=0)
            body = _HEAD.pack(_MAGIC, 0, len(payload), sequence)[_CRC_FROM:] + payload
            data = _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body
            if os.pwrite(file, data, (first + sequence % 2) * _SLOT) != len(data):
                raise OSError(f"writing {self._path}: the disk is full; free space on it")
        finally:
            os.close(file)

    def _get(self, first: int) -> _Slot:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return _Slot(0, b"")
        except OSError as error:
            raise Unreadable(f"reading {self._path}: {error}; make the agent's user its owner") from error
        try:
            slots = _slots(file, first)
        except OSError as error:
            raise Unreadable(f"reading {self._path}: {error}; replace the disk") from error
        finally:
            os.close(file)
        newest = max((slot for slot in slots if slot), default=_Slot(0, b""))
        if newest.sequence == 0 and None in slots:
            raise Unreadable(
                f"both copies of the record in {self._path} are damaged; delete it and restart the agent"
            )
        if not newest.known:
            raise Unreadable(f"the record in {self._path} has the format of another version; {_MEND}")
        return newest


def _slots(file: int, first: int) -> list[_Slot | None]:
    return [_checked(os.pread(file, _SLOT, slot * _SLOT)) for slot in (first, first + 1)]


def _checked(data: bytes) -> _Slot | None:
    if not data.strip(b"\x00"):
        return _Slot(0, b"")
    if len(data) < _HEAD.size:
        return None
    magic, crc, length, sequence = _HEAD.unpack_from(data)
    body = data[_CRC_FROM : _HEAD.size + length]
    ours = magic.startswith(_FORMS) and len(body) == _HEAD.size + length - _CRC_FROM
    if not ours or zlib.crc32(body) != crc:
        return None
    return _Slot(sequence, data[_HEAD.size : _HEAD.size + length], magic == _MAGIC)


def _record_in(slot: _Slot) -> ArmedRecord:
    boot, armed, count, deadline_s, version = _LEASE.unpack_from(slot.payload)
    end = _LEASE.size + count * _GPU.size
    gpus = tuple([_unpacked(slot.payload, start) for start in range(_LEASE.size, end, _GPU.size)])
    domain = slot.payload[end:].partition(_LATER)[0].decode(errors="replace")
    return ArmedRecord(boot.decode(), armed, deadline_s, version, gpus, slot.sequence, domain)


def _packed(gpu: GpuRecord) -> bytes:
    uuid = gpu.uuid.encode()
    if len(uuid) > UUID_BYTES:
        raise InvalidInput("uuid", gpu.uuid, fix=f"a record holds at most {UUID_BYTES} bytes of it")
    found_mw = _FOUND_NOTHING if gpu.found_watts is None else round(gpu.found_watts * 1000)
    return _GPU.pack(uuid, round(gpu.safe_watts * 1000), found_mw, gpu.found_mhz or 0)


def _unpacked(payload: bytes, at: int) -> GpuRecord:
    uuid, safe_mw, found_mw, found_mhz = _GPU.unpack_from(payload, at)
    found_watts = None if found_mw == _FOUND_NOTHING else found_mw / 1000
    return GpuRecord(uuid.rstrip(b"\x00").decode(), safe_mw / 1000, found_watts, found_mhz or None)
