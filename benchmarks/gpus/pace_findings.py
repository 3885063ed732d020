"""
What the agent's own samples come to: what they miss, what they cost, and whether they are believed rightly.
"""

import numpy as np

from benchmarks.gpus import series
from benchmarks.gpus.traces import Costs, Facts, Floats, Pace, Questions, Rounds, floats
from benchmarks.gpus.watching import ASKED, HIGHEST_LIMIT, LOWEST_LIMIT
from benchmarks.result_files import Check, Result, at_most, holds
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_sim.plant.hardware import SENSOR_GAIN

NODE_GPUS, CORE_PERCENT_GOAL = 8, 0.5
"""What an agent may cost a node, as `make bench-agent` holds it against; here it is the sampling alone."""


def figures(pace: Pace) -> dict[str, Result]:
    """What was read at the agent's pace."""
    results = _facts(pace.facts)
    for name, rounds in pace.rounds.items():
        results |= {f"{name}_{figure}": value for figure, value in _rounds(rounds).items()}
    return results | {"read_back_us_p50": _percentile(np.array(pace.read_back_us), 50)}


def costs(questions: Questions) -> dict[str, Result]:
    """What each question costs: median and 99th percentile of the clock, mean of the processor."""
    return {"question_us": {"idle": _costs(questions.idle), "load": _costs(questions.load)}}


def checks(pace: Pace) -> tuple[Check, ...]:
    """What the agent believes of any GPU."""
    facts = pace.facts
    missing = sum(facts.fields[field] is None for field in ASKED)
    faults = sum(fault is not None for rounds in pace.rounds.values() for fault in rounds.faults)
    untrusted = sum(not ok for rounds in pace.rounds.values() for ok in rounds.ok)
    ranged = (facts.fields[LOWEST_LIMIT], facts.fields[HIGHEST_LIMIT])
    same = ranged == (round(facts.min_watts * 1000), round(facts.max_watts * 1000))
    return (
        at_most(
            "asked_fields_missing", missing, goal=0, reason="the agent asks for a field that isn't there"
        ),
        at_most("samples_not_to_be_used", untrusted, goal=0, reason="the agent would count limits for draws"),
        at_most("false_alarms", faults, goal=0, reason="the agent took a good sensor for a stuck one"),
        at_most(
            "eight_gpus_core_percent",
            _core_percent(pace),
            goal=CORE_PERCENT_GOAL,
            reason="the driver's answers alone cost more than an agent may: see `question_us`",
        ),
        holds(
            "limit_range_is_told_twice_alike",
            value=same,
            reason="fields 187 and 188 aren't the settable range",
        ),
        holds("clocks_are_listed", value=facts.graphics_clocks > 1, reason="no range of clocks can be read"),
        holds(
            "nothing_was_set",
            value=_settings(facts) == _settings(pace.facts_after),
            reason="a limit changed meanwhile",
        ),
        at_most(
            "energy_and_power_apart_share",
            _apart(pace.rounds),
            goal=SENSOR_GAIN,
            reason="a steady load isn't seen as the energy counter sees it",
        ),
    )


def _facts(facts: Facts) -> dict[str, Result]:
    missing = [field for field, value in facts.fields.items() if value is None]
    return {
        "gpu": facts.name,
        "driver": facts.driver,
        "asked_fields_missing": [field for field in missing if field in ASKED],
        "other_fields_missing": [field for field in missing if field not in ASKED],
        "min_limit_watts": facts.min_watts,
        "max_limit_watts": facts.max_watts,
        "default_limit_watts": facts.default_watts,
        "enforced_limit_watts": facts.enforced_watts,
        "requested_limit_watts": facts.requested_watts,
        "min_mhz": facts.min_mhz,
        "max_mhz": facts.max_mhz,
        "settable_clocks": facts.graphics_clocks,
        "missing_right": facts.missing_right,
    }


def _rounds(rounds: Rounds) -> dict[str, float | None]:
    t_s, watts, cost_us = np.array(rounds.t_s), np.array(rounds.watts), np.array(rounds.cost_us)
    return {
        "samples": len(t_s),
        "faults": sum(fault is not None for fault in rounds.faults),
        "repeat_share": series.repeat_share(watts),
        "longest_repeat_s": series.longest_repeat_s(t_s, watts),
        "watts_mean": float(watts.mean()),
        "watts_highest": float(watts.max()),
        "watts_by_energy": series.mean_watts(t_s, floats(rounds.energy_j)),
        "age_ms_p50": 1e3 * _percentile(np.array(rounds.age_s), 50),
        "round_us_p50": _percentile(cost_us, 50),
        "round_us_p99": _percentile(cost_us, 99),
        "round_cpu_us_mean": float(np.mean(rounds.cpu_us)),
    }


def _costs(costs: Costs) -> dict[str, Result]:
    return {
        name: {
            "p50": _percentile(np.array(wall_us), 50),
            "p99": _percentile(np.array(wall_us), 99),
            "cpu_mean": float(np.mean(costs.cpu_us[name])),
        }
        for name, wall_us in costs.wall_us.items()
    }


def _core_percent(pace: Pace) -> float | None:
    """What eight such GPUs would take of a core at the agent's rate, idle or loaded, whichever is more."""
    at_its_rate = [r for r in pace.rounds.values() if r.rate_hz == 1.0 / SAMPLE_EVERY_S]
    cpu_us = max((float(np.mean(rounds.cpu_us)) for rounds in at_its_rate), default=None)
    if cpu_us is None:
        return None
    return 100 * NODE_GPUS / pace.facts.gpus * cpu_us / 1e6 / SAMPLE_EVERY_S


def _apart(sampled: dict[str, Rounds]) -> float | None:
    """How far field 186's mean and ΔE ÷ Δt are apart under load, at worst."""
    apart: list[float] = []
    for name, rounds in sampled.items():
        if not name.startswith("load"):
            continue
        watts = series.mean_watts(np.array(rounds.t_s), floats(rounds.energy_j))
        if watts is None:
            return None
        apart.append(abs(float(np.mean(rounds.watts)) / watts - 1.0))
    return max(apart, default=None)


def _settings(facts: Facts) -> tuple[float, ...]:
    return (facts.enforced_watts, facts.requested_watts, facts.min_watts, facts.max_watts)


def _percentile(values: Floats, percent: float) -> float:
    return float(np.percentile(values, percent))
