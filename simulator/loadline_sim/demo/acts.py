"""
The demo's script: which events happen to the row, and when.

The virtual demo and the live one follow the same list of events, on the same minutes of
the same traces, so that their reports can be compared. A cue names an event, not how it
is caused: the virtual demo calls a function, the live one runs kubectl or sends a signal.
Times are seconds from the window's start and are chosen to match the bursts in it.
"""

from dataclasses import dataclass
from enum import StrEnum

from loadline_policies.documents import SCHEMA


class Cue(StrEnum):
    """An event of the demo."""

    OBSERVE = "observe"
    ENFORCE = "enforce"
    EDIT_POLICY = "edit policy"
    BREAK_POLICY = "break policy"
    FIX_POLICY = "fix policy"
    KILL_COORDINATOR = "kill coordinator"
    RESTART_AGENT = "restart agent"
    API_AWAY = "api away"
    API_BACK = "api back"
    STOP_AGENT = "stop agent"
    RESUME_AGENT = "resume agent"
    STRESS = "stress"
    RELEASE = "release"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A part of the demo, with its cues as (seconds from the window's start, event)."""

    name: str
    title: str
    start_s: float
    end_s: float
    cues: tuple[tuple[float, Cue], ...]
    detail: str = ""


ACTS = (
    Act(
        name="observe",
        title="Observe",
        start_s=0.0,
        end_s=66.0,
        cues=((0.0, Cue.OBSERVE),),
        detail="Loadline measures and changes nothing. The traces reach their peak: 40 servers would draw "
        "79 % of the budget, 52 servers exceed it.",
    ),
    Act(
        name="enforce",
        title="Enforce",
        start_s=66.0,
        end_s=150.0,
        cues=((66.0, Cue.ENFORCE),),
        detail="`kubectl patch` switches the power domain to Enforce. Every node arms its guard; servers of "
        "low priority are capped first.",
    ),
    Act(
        name="policy",
        title="Edit the policy",
        start_s=150.0,
        end_s=262.0,
        cues=((150.0, Cue.EDIT_POLICY), (190.0, Cue.BREAK_POLICY), (230.0, Cue.FIX_POLICY)),
        detail="A threshold is edited in the policy's ConfigMap and takes effect a moment later. An invalid "
        "edit is rejected with its reason, and the last valid policy stays in force.",
    ),
    Act(
        name="coordinator",
        title="Kill the coordinator",
        start_s=262.0,
        end_s=345.0,
        cues=((262.0, Cue.KILL_COORDINATOR), (268.0, Cue.RESTART_AGENT)),
        detail="The coordinator is killed by SIGKILL during a burst. The leases expire, every node steps "
        "down to its safe limits by itself, and the agents elect another coordinator.",
    ),
    Act(
        name="api",
        title="Stop the API server",
        start_s=345.0,
        end_s=412.0,
        cues=((345.0, Cue.API_AWAY), (405.0, Cue.API_BACK)),
        detail="The API server is stopped for a minute during a burst, longer than any lease. The "
        "coordinator continues as long as every node reports to it, and raises no limit meanwhile.",
    ),
    Act(
        name="agent",
        title="Stop an agent",
        start_s=412.0,
        end_s=450.0,
        cues=((412.0, Cue.STOP_AGENT), (432.0, Cue.RESUME_AGENT)),
        detail="One node's agent is stopped by SIGSTOP. Its guard, a separate process that shares only a "
        "file with the agent, steps the node's GPUs down.",
    ),
    Act(
        name="stress",
        title="Stress",
        start_s=450.0,
        end_s=540.0,
        cues=((450.0, Cue.STRESS),),
        detail="Long prompts arrive at a rate at which the row would trip its breaker without caps.",
    ),
    Act(
        name="release",
        title="Release",
        start_s=540.0,
        end_s=600.0,
        cues=((540.0, Cue.RELEASE), (600.0, Cue.END)),
        detail="The power domain is set back to Observe. As far as headroom allows, the coordinator "
        "restores, node after node, the limits and clocks from before Loadline's first write.",
    ),
)

FAULTY = frozenset({"coordinator", "api", "agent"})
"""Acts in which a component is stopped on purpose, so that the coordinator can't reach every node."""


POLICY = f"""\
# POLCA for a row whose clocks are set in band, so with thresholds closer to the budget than the paper's.
schema: {SCHEMA}
loop: power
policy: polca
highPriorityFrom: 100
settings:
  threshold1Percent: 90
  threshold2Percent: 95
  hysteresisPercent: 3
  actuationMillis: 500
  brakeHoldSeconds: 20
"""

EDITED_POLICY = POLICY.replace("threshold1Percent: 90", "threshold1Percent: 89")
BROKEN_POLICY = POLICY.replace("threshold1Percent: 90", "threshold1Percent: 97")


def act_at(now_s: float) -> Act:
    """The act that runs at a time; the last one from its start on."""
    return next((act for act in ACTS if act.start_s <= now_s < act.end_s), ACTS[-1])
