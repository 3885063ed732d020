"""
What each question to the driver costs, one by one.

A round of the agent asks for power and energy in one call. Whether that is dear, and
whether another question would get the same for less, is told by asking each alone. They
take turns, further apart than the sensors' period, so that none lives on what another
has just had fetched.
"""

import time
from collections.abc import Callable
from functools import partial

import pynvml  # type: ignore[import-untyped]

from benchmarks.gpus.traces import Costs
from benchmarks.gpus.watching import POWER_AVERAGE, TOTAL_ENERGY, Buffer, Steps
from loadline_agent.hardware import nvml
from loadline_policies.errors import HardwareError

Question = Callable[[], object]

EVERY_S = 0.11
"""Between two questions: a little more than the 100 ms for which a sensor shows the same."""


def asked(device: nvml.Device) -> dict[str, Question]:
    """The questions, by what they ask; the first is the agent's, four times a second."""
    fields = partial(nvml.Fields, device.handle)
    return {
        "field_186": device.power.read,
        "fields_186_83": fields((nvml.POWER_INSTANT, TOTAL_ENERGY)).read,
        "field_185": fields((POWER_AVERAGE,)).read,
        "field_83": fields((TOTAL_ENERGY,)).read,
        "power_usage": device.usage_mw,
        "total_energy": device.energy_mj,
        "power_samples": Buffer(device).fetch,
        "limits_190_192": device.limits_mw,
        "sm_clock": device.sm_mhz,
        "clock_reasons": partial(pynvml.nvmlDeviceGetCurrentClocksEventReasons, device.handle),
    }


def costs(device: nvml.Device, rounds: int) -> Costs:
    """Ask each so many times; a question that the driver refuses has no costs."""
    answered = {name: ask for name, ask in asked(device).items() if _answers(ask)}
    wall: dict[str, list[float]] = {name: [] for name in answered}
    cpu: dict[str, list[float]] = {name: [] for name in answered}
    steps = Steps(EVERY_S)
    for _ in range(rounds):
        for name, ask in answered.items():
            steps.wait()
            wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
            ask()
            wall[name].append((time.perf_counter_ns() - wall_ns) / 1e3)
            cpu[name].append((time.thread_time_ns() - cpu_ns) / 1e3)
    return Costs(
        wall_us={name: tuple(taken) for name, taken in wall.items()},
        cpu_us={name: tuple(taken) for name, taken in cpu.items()},
    )


def _answers(ask: Question) -> bool:
    try:
        ask()
    except (HardwareError, pynvml.NVMLError):
        return False
    return True
