"""
A power policy with its settings, as a coordinator holds it: read from a document, ready to decide.

How it is read from YAML is in `loadline_policies.documents`.
"""

from dataclasses import dataclass
from typing import Any

from loadline_policies.loops import Loop
from loadline_policies.power.rows import PowerPolicy
from loadline_policies.settings import Settings


@dataclass(frozen=True, slots=True)
class PowerDocument:
    """A power policy with its settings, ready to decide.

    `high_priority_from` is the least InferenceService priority of the high class,
    `slo_relief` whether its services are let off a cap under which they miss their SLO.
    """

    policy: PowerPolicy[Any, Any]
    config: Settings
    high_priority_from: int
    hash: str
    slo_relief: bool = True
    loop: Loop = Loop.POWER
