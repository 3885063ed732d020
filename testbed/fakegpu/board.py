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
from pathlib import Path
from types import TracebackType
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt

from testbed.fakegpu.layouts import (
    FAULT_LOST,
    FAULT_STUCK,
    GPU,
    HEADER,
    MAGIC,
    NODE,
    VERSION,
    GpuSpec,
    header_of,
    milli,
)

__all__ = ["Board", "GpuSpec", "boottime"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint64]


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME, the clock of every time on the board."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Board:
    """A mapped board; `create` makes one, `open` joins one that others use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.header = np.frombuffer(self._memory, HEADER, 1)
        if int(self.header["magic"][0]) != MAGIC or int(self.header["version"][0]) != VERSION:
            raise ValueError(f"{path} is not a board of version {VERSION}: make it with Board.create")
        nodes, each = int(self.header["node_count"][0]), int(self.header["gpus_per_node"][0])
        start = HEADER.itemsize + nodes * NODE.itemsize
        self.nodes = np.frombuffer(self._memory, NODE, nodes, HEADER.itemsize)
        self.gpus = np.frombuffer(self._memory, GPU, nodes * each, start).reshape(nodes, each)

    @classmethod
    def create(
        cls, path: Path, node_names: Sequence[str], *, gpus_per_node: int = 8, spec: GpuSpec | None = None
    ) -> "Board":
        """Write a new board of idle, privileged GPUs at their defaults, in one step of the file system."""
        size = HEADER.itemsize + len(node_names) * (NODE.itemsize + gpus_per_node * GPU.itemsize)
        memory = bytearray(size)
        spec = spec or GpuSpec()
        header = header_of(spec, nodes=len(node_names), each=gpus_per_node)
        memory[: HEADER.itemsize] = header.tobytes()
        nodes = np.frombuffer(memory, NODE, len(node_names), HEADER.itemsize)
        nodes["name"] = [name.encode() for name in node_names]
        nodes["privileged"] = 1
        start = HEADER.itemsize + nodes.nbytes
        gpus = np.frombuffer(memory, GPU, len(node_names) * gpus_per_node, start)
        gpus["uuid"] = [_uuid(name, index) for name in node_names for index in range(gpus_per_node)]
        gpus["power"]["requested"] = gpus["power"]["previous"] = milli(spec.default_watts)
        gpus["instant_mw"] = gpus["average_mw"] = milli(spec.idle_watts)
        gpus["sm_mhz"] = spec.max_mhz
        gpus["persistence"] = 1
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
    def default_watts(self) -> float:
        """The limit that every GPU has while nobody has set another."""
        return float(self.header["default_mw"][0]) / 1000.0

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

    def unload_driver(self, node: int) -> None:
        """Take a node's driver away: limits are at their default, no clock is locked, energy begins at 0.

        Whoever has it open is answered UNKNOWN from now on, until he closes NVML and opens it anew.
        """
        self.nodes["unloaded"][node] = 1
        self.nodes["forgotten_ns"][node] = int(boottime() * 1e9)
        for gpu in range(self.gpus.shape[1]):
            self.write_as_other(node, gpu, watts=self.default_watts)
            self._turn(self.gpus[node, gpu], "clock", 0)
        self.gpus["energy_mj"][node] = 0

    def load_driver(self, node: int) -> None:
        """Load it again: it is found by whoever opens NVML."""
        self.nodes["unloaded"][node] = 0

    def stick(self, node: int, gpu: int, *, watts: float | None = None) -> None:
        """Freeze a power sensor, at what it says now if `watts` isn't given; its energy goes on."""
        one = self.gpus[node, gpu]
        one["stuck_mw"] = one["instant_mw"] if watts is None else milli(watts)
        one["faults"] |= FAULT_STUCK

    def lose(self, node: int, gpu: int) -> None:
        """Let a GPU fall off the bus."""
        self.gpus[node, gpu]["faults"] |= FAULT_LOST

    def fail(self, node: int, gpu: int, *, reads: int = 0, writes: int = 0) -> None:
        """Answer reads or setters of a GPU with an NVML_ERROR code; 0 is none."""
        self.gpus["read_error"][node, gpu] = reads
        self.gpus["write_error"][node, gpu] = writes

    def lack(self, node: int, gpu: int, *, what: int) -> None:
        """Answer NOT_SUPPORTED to what a GPU lacks, a sum of `layouts.LACKS_…`; 0 is nothing."""
        self.gpus["lacks"][node, gpu] = what

    def tell_range(self, node: int, gpu: int, *, min_watts: float, max_watts: float) -> None:
        """Tell another settable range of a GPU than its model has, however odd."""
        one = self.gpus[node, gpu]
        one["odd_min_mw"], one["odd_max_mw"], one["odd_range"] = milli(min_watts), milli(max_watts), 1

    def tell_persistence(self, node: int, gpu: int, *, mode: int = 1, error: int = 0) -> None:
        """Tell another persistence mode of a GPU, however odd, or answer with an NVML_ERROR code."""
        self.gpus["persistence"][node, gpu] = mode
        self.gpus["persistence_error"][node, gpu] = error

    def tell_module(self, node: int, gpu: int, *, watts: float, limit_watts: float) -> None:
        """Give a GPU a module (GH200, GB200): the power and the limit that scope 1 tells, however odd."""
        one = self.gpus[node, gpu]
        one["module_mw"], one["module_limit_mw"], one["has_module"] = milli(watts), milli(limit_watts), 1

    def tell_xid(self, node: int, gpu: int, *, xid: int) -> None:
        """Tell a critical XID of a GPU to all who listen."""
        self.gpus["xid"][node, gpu] = xid
        self.gpus["xid_count"][node, gpu] += 1

    def slow(self, node: int, gpu: int, *, seconds: float) -> None:
        """Let every call to a GPU take `seconds` longer."""
        self.gpus["slow_ms"][node, gpu] = round(seconds * 1000)

    def heal(self, node: int, gpu: int) -> None:
        """End all faults of a GPU, a BMC's limit included."""
        for name in ("faults", "read_error", "write_error", "slow_ms", "outband_mw", "lacks", "odd_range"):
            self.gpus[name][node, gpu] = 0
        self.tell_persistence(node, gpu)
        self.gpus["has_module"][node, gpu] = 0

    def write_as_other(self, node: int, gpu: int, *, watts: float) -> None:
        """Set a limit at once, as another program on the host would; not counted in `writes`."""
        self._turn(self.gpus[node, gpu], "power", milli(watts))

    def limit_outband(self, node: int, gpu: int, *, watts: float | None) -> None:
        """Set a limit as a BMC would: the tighter of it and the host's holds. None takes it away."""
        self.gpus["outband_mw"][node, gpu] = 0 if watts is None else milli(watts)

    def _turn(self, one: np.void, name: str, value: int) -> None:
        """Ask a GPU for a setting that is in force at once."""
        other = (int(one[f"{name}_index"]) & 1) ^ 1
        one[name][other] = (value, value, 0)
        one[f"{name}_index"] = other

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


def _uuid(node: str, index: int) -> bytes:
    return f"GPU-{uuid5(NAMESPACE_URL, f'loadline.dev/fakegpu/{node}/{index}')}".encode()
