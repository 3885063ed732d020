"""What a coordinator tells people of its domain: status, metrics and the journal are made of it."""

from dataclasses import dataclass

from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.drill_states import DrillState
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.member_evidence import NOTHING_HEARD, Evidence
from loadline_policies.power.safety.safe_states import Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWait:
    """Nodes that are to be released and aren't yet, sorted.

    `lacking_watts` is the headroom that the next one lacks: 0 where that isn't what it waits
    for. `long` says that for ten minutes none was let go.
    """

    nodes: tuple[str, ...]
    lacking_watts: float
    long: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState:
    """A domain as its coordinator sees it now.

    `agreed` says that S1 is in force: what every node has acknowledged to fall to,
    nameplates of the others, is within the budget. `relieved` are the services of which
    some GPUs are let off their class's cap, `waiting` those for which there is no room.
    `drill` is the last order for one that this coordinator knows, and what came of it; `release` says
    who is to be released and isn't yet. `evidence` is the part of all this that was heard lately, and
    not only assumed.
    """

    watts: float
    load: float
    age_s: float
    headroom_watts: float
    level: str
    held: HoldReason
    heat: float
    brakes: int
    nodes: int
    silent: tuple[str, ...]
    enforcing: bool
    agreed: bool
    safety: Safety | None
    problem: UnsafeDomain | None
    policy_hash: str
    relieved: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    drill: DrillState | None = None
    evidence: Evidence = NOTHING_HEARD
    release: ReleaseWait | None = None
