"""
The structs of board.h as NumPy dtypes, and what a fresh board's header says.

Written by hand beside board.h and compared with it: `offsets()` has the same
names and numbers as the library's own table, else build.py refuses the library.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

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

LACKS_RANGE: Final = 0x1
LACKS_DEFAULT: Final = 0x2
LACKS_CLOCKS: Final = 0x4
LACKS_POWER: Final = 0x8
LACKS_EVENTS: Final = 0x10

HEADER: Final = np.dtype(
    {
        "names": [
            *("magic", "version", "node_count", "gpus_per_node", "fields"),
            *("min_mw", "max_mw", "default_mw", "min_mhz", "max_mhz", "step_mhz", "memory_mhz"),
            *("power_delay_ns", "clock_delay_ns", "model", "driver"),
        ],
        "formats": ["<u8", *["<u4"] * 11, "<u8", "<u8", "S64", "S32"],
        "offsets": [0, *range(8, 52, 4), 56, 64, 72, 136],
        "itemsize": 256,
    }
)
NODE: Final = np.dtype(
    {
        "names": ["name", "privileged", "unloaded", "forgotten_ns"],
        "formats": ["S64", "<u4", "<u4", "<u8"],
        "offsets": [0, 64, 68, 72],
        "itemsize": 128,
    }
)
SETTING: Final = np.dtype([("previous", "<u4"), ("requested", "<u4"), ("effective_ns", "<u8")])
_GPU_MEMBERS: Final[tuple[tuple[str, object, int], ...]] = (
    ("uuid", "S48", 0),
    ("lock", "<u4", 64),
    ("power_index", "<u4", 68),
    ("clock_index", "<u4", 72),
    ("power", (SETTING, 2), 80),
    ("clock", (SETTING, 2), 112),
    ("writes", "<u8", 192),
    ("refused", "<u8", 200),
    ("last_write_ns", "<u8", 208),
    ("last_writer_pid", "<u4", 216),
    ("last_error", "<u4", 220),
    ("xid", "<u4", 224),
    ("xid_count", "<u4", 228),
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
    ("lacks", "<u4", 344),
    ("odd_range", "<u4", 348),
    ("odd_min_mw", "<u4", 352),
    ("odd_max_mw", "<u4", 356),
    ("persistence", "<u4", 360),
    ("persistence_error", "<u4", 364),
    ("has_module", "<u4", 368),
    ("module_mw", "<u4", 372),
    ("module_limit_mw", "<u4", 376),
)
GPU: Final = np.dtype(
    {
        "names": [name for name, _, _ in _GPU_MEMBERS],
        "formats": [kind for _, kind, _ in _GPU_MEMBERS],
        "offsets": [offset for _, _, offset in _GPU_MEMBERS],
        "itemsize": 384,
    }
)


def offsets() -> dict[str, int]:
    """Sizes of the structs and offsets of their members, as the C library exports its own."""
    structs = {"header": HEADER, "node": NODE, "setting": SETTING, "gpu": GPU}
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


def header_of(spec: GpuSpec, *, nodes: int, each: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The header of a fresh board: one record, ready to be written."""
    values = {
        "magic": MAGIC,
        "version": VERSION,
        "node_count": nodes,
        "gpus_per_node": each,
        "fields": spec.fields,
        "min_mw": milli(spec.min_watts),
        "max_mw": milli(spec.max_watts),
        "default_mw": milli(spec.default_watts),
        "min_mhz": spec.min_mhz,
        "max_mhz": spec.max_mhz,
        "step_mhz": spec.step_mhz,
        "memory_mhz": spec.memory_mhz,
        "power_delay_ns": round(spec.power_delay_s * 1e9),
        "clock_delay_ns": round(spec.clock_delay_s * 1e9),
        "model": spec.model.encode(),
        "driver": spec.driver.encode(),
    }
    header = np.zeros(1, HEADER)
    for name, value in values.items():
        header[name] = value
    return header


def milli(value: float) -> int:
    """Watts in milliwatts, rounded."""
    return round(value * 1000.0)
