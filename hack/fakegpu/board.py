"""
The board behind the fake GPUs, as arrays: all nodes of a row at once.

A row of 52 nodes has 416 GPUs, and the plant looks at their limits and turns
their sensors many times a second. So the file that the C library answers from
(board.h) is mapped here as NumPy structured arrays of shape (nodes, gpus): one
expression reads every limit in force, one assignment turns every sensor.

`Board` is also the hand of a test: it takes privileges away, sticks sensors,
loses GPUs, slows calls and writes limits as a stranger would. Watts and MHz at
this border, milliwatts in the file; times are seconds of CLOCK_BOOTTIME.
"""

import mmap
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint64]

MAGIC: Final = 0x4452414F42444C4C
VERSION: Final = 1

FIELD_INSTANT: Final = 0x1
FIELD_AVERAGE: Final = 0x2
ENERGY: Final = 0x4
FIELD_LIMITS: Final = 0x8
POWER_USAGE: Final = 0x10
USAGE_IS_AVERAGE: Final = 0x20
LOCKED_CLOCKS: Final = 0x40

A100_FIELDS: Final = FIELD_INSTANT | ENERGY | FIELD_LIMITS | POWER_USAGE | LOCKED_CLOCKS
"""An A100 has no averaged power field (185), and its GetPowerUsage is instantaneous (nvml.h)."""
H100_FIELDS: Final = A100_FIELDS | FIELD_AVERAGE | USAGE_IS_AVERAGE

FAULT_STUCK: Final = 0x1
FAULT_LOST: Final = 0x2

_HEADER: Final = np.dtype(
    {
        "names": "magic version node_count gpus_per_node fields min_mw max_mw default_mw min_mhz max_mhz "
        "step_mhz memory_mhz power_delay_ns clock_delay_ns model driver".split(),
        "formats": ["<u8", *["<u4"] * 11, "<u8", "<u8", "S64", "S32"],
        "offsets": [0, *range(8, 52, 4), 56, 64, 72, 136],
        "itemsize": 256,
    }
)
_NODE: Final = np.dtype(
    {"names": ["name", "privileged"], "formats": ["S64", "<u4"], "offsets": [0, 64], "itemsize": 128}
)
_SETTING: Final = np.dtype([("previous", "<u4"), ("requested", "<u4"), ("effective_ns", "<u8")])
_GPU_MEMBERS: Final[tuple[tuple[str, object, int], ...]] = (
    ("uuid", "S48", 0),
    ("lock", "<u4", 64),
    ("power_index", "<u4", 68),
    ("clock_index", "<u4", 72),
    ("power", (_SETTING, 2), 80),
    ("clock", (_SETTING, 2), 112),
    ("writes", "<u8", 192),
    ("refused", "<u8", 200),
    ("last_write_ns", "<u8", 208),
    ("last_writer_pid", "<u4", 216),
    ("last_error", "<u4", 220),
    ("instant_mw", "<u4", 256),
    ("average_mw", "<u4", 260),
    ("energy_mj", "<u8", 264),
    ("sm_mhz", "<u4", 272),
    ("reasons", "<u8", 280),
    ("power_capped_ns", "<u8", 288),
    ("thermal_ns", "<u8", 296),
    ("braked_ns", "<u8", 304),
    ("energy_at_ns", "<u8", 312),
    ("faults", "<u4", 320),
    ("stuck_mw", "<u4", 324),
    ("read_error", "<u4", 328),
    ("write_error", "<u4", 332),
    ("slow_ms", "<u4", 336),
    ("outband_mw", "<u4", 340),
)
_GPU: Final = np.dtype(
    {
        "names": [name for name, _, _ in _GPU_MEMBERS],
        "formats": [kind for _, kind, _ in _GPU_MEMBERS],
        "offsets": [offset for _, _, offset in _GPU_MEMBERS],
        "itemsize": 384,
    }
)


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME, the clock of every time on the board."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def offsets() -> dict[str, int]:
    """Sizes of the structs and offsets of their members, as the C library exports its own."""
    structs = {"header": _HEADER, "node": _NODE, "setting": _SETTING, "gpu": _GPU}
    rows = {name: struct.itemsize for name, struct in structs.items()}
    for name, struct in structs.items():
        rows |= {f"{name}.{member}": at for member, (_, at, *_) in (struct.fields or {}).items()}
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """What every GPU of a board is; the defaults are the demo's A100 of 400 W.

    `power_delay_s` is a cap's time until it holds (not sourced for any GPU:
    chosen), `clock_delay_s` a clock's (Perseus measured about 10 ms).
    """

    model: str = "NVIDIA A100-SXM4-80GB"
    driver: str = "580.95.05"
    min_watts: float = 100.0
    max_watts: float = 400.0
    default_watts: float = 400.0
    min_mhz: int = 210
    max_mhz: int = 1410
    step_mhz: int = 15
    memory_mhz: int = 1593
    idle_watts: float = 63.0
    power_delay_s: float = 0.1
    clock_delay_s: float = 0.01
    fields: int = A100_FIELDS


class Board:
    """A mapped board; `create` makes one, `open` joins one that others use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.header = np.frombuffer(self._memory, _HEADER, 1)
        if int(self.header["magic"][0]) != MAGIC or int(self.header["version"][0]) != VERSION:
            raise ValueError(f"{path} is not a board of version {VERSION}: make it with Board.create")
        nodes, each = int(self.header["node_count"][0]), int(self.header["gpus_per_node"][0])
        start = _HEADER.itemsize + nodes * _NODE.itemsize
        self.nodes = np.frombuffer(self._memory, _NODE, nodes, _HEADER.itemsize)
        self.gpus = np.frombuffer(self._memory, _GPU, nodes * each, start).reshape(nodes, each)

    @classmethod
    def create(
        cls, path: Path, node_names: Sequence[str], gpus_per_node: int = 8, spec: GpuSpec | None = None
    ) -> "Board":
        """Write a new board of idle, privileged GPUs at their defaults, in one step of the file system."""
        size = _HEADER.itemsize + len(node_names) * (_NODE.itemsize + gpus_per_node * _GPU.itemsize)
        memory = bytearray(size)
        spec = spec or GpuSpec()
        _fill_header(np.frombuffer(memory, _HEADER, 1)[0], spec, len(node_names), gpus_per_node)
        nodes = np.frombuffer(memory, _NODE, len(node_names), _HEADER.itemsize)
        nodes["name"] = [name.encode() for name in node_names]
        nodes["privileged"] = 1
        start = _HEADER.itemsize + nodes.nbytes
        gpus = np.frombuffer(memory, _GPU, len(node_names) * gpus_per_node, start)
        gpus["uuid"] = [_uuid(name, index) for name in node_names for index in range(gpus_per_node)]
        gpus["power"]["requested"] = gpus["power"]["previous"] = _milli(spec.default_watts)
        gpus["instant_mw"] = gpus["average_mw"] = _milli(spec.idle_watts)
        gpus["sm_mhz"] = spec.max_mhz
        gpus["energy_at_ns"] = int(boottime() * 1e9)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(memory)
        draft.replace(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Board":
        """Join the board at `path`; ValueError if it isn't one."""
        return cls(path)

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the arrays, and with the last of them the mapping; the file stays."""
        del self.header, self.nodes, self.gpus

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes, in the order of the arrays' first axis."""
        return tuple(name.decode() for name in self.nodes["name"].tolist())

    def uuids(self, node: int) -> tuple[str, ...]:
        """UUIDs of a node's GPUs, in the order of NVML's indexes."""
        return tuple(uuid.decode() for uuid in self.gpus["uuid"][node].tolist())

    def enforced_watts(self, now: float | None = None) -> Floats:
        """Power limits that hold at `now`, host's and BMC's together, shape (nodes, gpus)."""
        limits = self._in_force("power", now)
        outband = self.gpus["outband_mw"]
        return np.where((outband > 0) & (outband < limits), outband, limits) / 1000.0

    def locked_mhz(self, now: float | None = None) -> npt.NDArray[np.uint32]:
        """Upper ends of the locked clocks that hold at `now`; 0 where none is, shape (nodes, gpus)."""
        return self._in_force("clock", now)

    def requested_watts(self) -> Floats:
        """Power limits last asked for, in force yet or not, shape (nodes, gpus)."""
        index = self.gpus["power_index"] & 1
        slots = self.gpus["power"]["requested"]
        return np.where(index == 1, slots[..., 1], slots[..., 0]) / 1000.0

    def set_sensors(
        self,
        *,
        watts: Floats | float,
        average_watts: Floats | float | None = None,
        energy_mj: npt.ArrayLike | None = None,
        sm_mhz: npt.ArrayLike | None = None,
        reasons: npt.ArrayLike | None = None,
        power_capped_ns: npt.ArrayLike | None = None,
        braked_ns: npt.ArrayLike | None = None,
    ) -> None:
        """Publish what the sensors say, arrays of shape (nodes, gpus) or one value for all.

        What isn't given stays; `average_watts` follows `watts` if not given.
        `energy_mj` is cumulative, like the driver's; without one, energy goes on
        by itself at `watts`.
        """
        gpus = self.gpus
        self._count_energy(energy_mj)
        gpus["instant_mw"] = np.multiply(watts, 1000.0)
        gpus["average_mw"] = (
            gpus["instant_mw"] if average_watts is None else np.multiply(average_watts, 1000.0)
        )
        rest = {
            "sm_mhz": sm_mhz,
            "reasons": reasons,
            "power_capped_ns": power_capped_ns,
            "braked_ns": braked_ns,
        }
        for name, values in rest.items():
            if values is not None:
                gpus[name] = values

    def writes(self) -> Counts:
        """Calls of setters so far, refused ones included, shape (nodes, gpus)."""
        return self.gpus["writes"].copy()

    def allow_writes(self, node: int, allowed: bool) -> None:
        """Give the processes of a node the right to set, or take it away."""
        self.nodes["privileged"][node] = allowed

    def stick(self, node: int, gpu: int, watts: float | None = None) -> None:
        """Freeze a power sensor, at what it says now if `watts` isn't given; its energy goes on."""
        one = self.gpus[node, gpu]
        one["stuck_mw"] = one["instant_mw"] if watts is None else _milli(watts)
        one["faults"] |= FAULT_STUCK

    def lose(self, node: int, gpu: int) -> None:
        """Let a GPU fall off the bus."""
        self.gpus[node, gpu]["faults"] |= FAULT_LOST

    def fail(self, node: int, gpu: int, *, reads: int = 0, writes: int = 0) -> None:
        """Answer reads or setters of a GPU with an NVML_ERROR code; 0 is none."""
        self.gpus["read_error"][node, gpu] = reads
        self.gpus["write_error"][node, gpu] = writes

    def slow(self, node: int, gpu: int, seconds: float) -> None:
        """Let every call to a GPU take `seconds` longer."""
        self.gpus["slow_ms"][node, gpu] = round(seconds * 1000)

    def heal(self, node: int, gpu: int) -> None:
        """End all faults of a GPU, a BMC's limit included."""
        for name in ("faults", "read_error", "write_error", "slow_ms", "outband_mw"):
            self.gpus[name][node, gpu] = 0

    def write_as_other(self, node: int, gpu: int, watts: float) -> None:
        """Set a limit at once, as another program on the host would; not counted in `writes`."""
        one = self.gpus[node, gpu]
        other = (int(one["power_index"]) & 1) ^ 1
        one["power"][other] = (_milli(watts), _milli(watts), 0)
        one["power_index"] = other

    def limit_outband(self, node: int, gpu: int, watts: float | None) -> None:
        """Set a limit as a BMC would: the tighter of it and the host's holds. None takes it away."""
        self.gpus["outband_mw"][node, gpu] = 0 if watts is None else _milli(watts)

    def _count_energy(self, energy_mj: npt.ArrayLike | None) -> None:
        gpus, now_ns = self.gpus, int(boottime() * 1e9)
        if energy_mj is not None:
            gpus["energy_mj"], gpus["energy_at_ns"] = energy_mj, 0
        elif gpus["energy_at_ns"].any():
            gpus["energy_mj"] += (now_ns - gpus["energy_at_ns"]) // 1000 * gpus["instant_mw"] // 1_000_000
            gpus["energy_at_ns"] = now_ns

    def _in_force(self, name: str, now: float | None) -> npt.NDArray[np.uint32]:
        now_ns = int((boottime() if now is None else now) * 1e9)
        second = (self.gpus[f"{name}_index"] & 1) == 1
        first, other = self.gpus[name][..., 0], self.gpus[name][..., 1]
        due = np.where(second, other["effective_ns"], first["effective_ns"]) <= now_ns
        requested = np.where(second, other["requested"], first["requested"])
        previous = np.where(second, other["previous"], first["previous"])
        return np.where(due, requested, previous)


def _fill_header(header: np.void, spec: GpuSpec, nodes: int, each: int) -> None:
    values = {
        "magic": MAGIC,
        "version": VERSION,
        "node_count": nodes,
        "gpus_per_node": each,
        "fields": spec.fields,
        "min_mw": _milli(spec.min_watts),
        "max_mw": _milli(spec.max_watts),
        "default_mw": _milli(spec.default_watts),
        "min_mhz": spec.min_mhz,
        "max_mhz": spec.max_mhz,
        "step_mhz": spec.step_mhz,
        "memory_mhz": spec.memory_mhz,
        "power_delay_ns": round(spec.power_delay_s * 1e9),
        "clock_delay_ns": round(spec.clock_delay_s * 1e9),
        "model": spec.model.encode(),
        "driver": spec.driver.encode(),
    }
    for name, value in values.items():
        header[name] = value


def _uuid(node: str, index: int) -> bytes:
    return f"GPU-{uuid5(NAMESPACE_URL, f'loadline.dev/fakegpu/{node}/{index}')}".encode()


def _milli(value: float) -> int:
    return round(value * 1000.0)
