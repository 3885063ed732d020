"""
The demo's play: what is done to the row, and when.

The virtual demo and the live one are conducted from the same list of cues, on the
same minutes of the same traces, so that their reports can be laid side by side. A
cue says what happens, not how: one conductor calls a function, the other kubectl
or a signal. Times are seconds from the window's start and suit its bursts.
"""

from dataclasses import dataclass
from enum import StrEnum

from loadline_policies.documents import SCHEMA


class Cue(StrEnum):
    """What is done to the row."""

    OBSERVE = "observe"
    ENFORCE = "enforce"
    EDIT_POLICY = "edit policy"
    BREAK_POLICY = "break policy"
    MEND_POLICY = "mend policy"
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
    """A part of the demo, with its cues as (seconds, what)."""

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
        detail="Loadline watches and changes nothing. The traces' peak passes: 40 servers would stand at "
        "79 % of their budget, 52 exceed it.",
    ),
    Act(
        name="enforce",
        title="Enforce",
        start_s=66.0,
        end_s=150.0,
        cues=((66.0, Cue.ENFORCE),),
        detail="`kubectl patch` switches the domain to Enforce. Every node arms its guard; low priority "
        "gives first.",
    ),
    Act(
        name="policy",
        title="Edit the policy",
        start_s=150.0,
        end_s=262.0,
        cues=((150.0, Cue.EDIT_POLICY), (190.0, Cue.BREAK_POLICY), (230.0, Cue.MEND_POLICY)),
        detail="A threshold is edited in the ConfigMap and is in force a moment later; a broken edit is "
        "refused with its reason, and the last good policy stays.",
    ),
    Act(
        name="coordinator",
        title="Kill the coordinator",
        start_s=262.0,
        end_s=345.0,
        cues=((262.0, Cue.KILL_COORDINATOR), (268.0, Cue.RESTART_AGENT)),
        detail="SIGKILL to the coordinator in a burst. Leases run out, every node steps to its safe "
        "limit by itself, and another agent is elected.",
    ),
    Act(
        name="api",
        title="Stop the API server",
        start_s=345.0,
        end_s=412.0,
        cues=((345.0, Cue.API_AWAY), (405.0, Cue.API_BACK)),
        detail="The API server is away for a minute in a burst, longer than any lease. The coordinator "
        "goes on while every node still reports to it, and raises nobody.",
    ),
    Act(
        name="agent",
        title="Stop an agent",
        start_s=412.0,
        end_s=450.0,
        cues=((412.0, Cue.STOP_AGENT), (432.0, Cue.RESUME_AGENT)),
        detail="SIGSTOP to one node's agent. Its guard, which shares nothing with it but a file, steps "
        "the GPUs down.",
    ),
    Act(
        name="stress",
        title="Stress",
        start_s=450.0,
        end_s=540.0,
        cues=((450.0, Cue.STRESS),),
        detail="Long prompts at a rate at which the uncapped row would trip its breaker.",
    ),
    Act(
        name="release",
        title="Release",
        start_s=540.0,
        end_s=600.0,
        cues=((540.0, Cue.RELEASE), (600.0, Cue.END)),
        detail="Back to Observe: node by node, by headroom, the limits and clocks found before the first "
        "write return.",
    ),
)

FAULTY = frozenset({"coordinator", "api", "agent"})
"""Acts in which something is broken on purpose, so that not every node can be reached."""


POLICY = f"""\
# POLCA for a row whose clocks are set in band: it may stand closer to its budget than the paper's.
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
