"""
The rule's named tests, as schedules with the end that is expected of each.
"""

from dataclasses import replace

from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.rules import SHORT_TIMES
from testbed.protocol_model.setups import row

SMALL = replace(row(2, budget_watts=1040, times=SHORT_TIMES), counts_heat=False)
"""Two nodes with short waits and without heat, for exhaustive explorations."""

MENU = (
    *(Event(kind, 0) for kind in Kind if kind not in (Kind.FOREIGN, Kind.CAP, Kind.BUDGET, Kind.BUSY)),
    Event(Kind.FOREIGN, 0, 700),
    Event(Kind.FOREIGN, 0, 300),
    Event(Kind.BUDGET, 0, 832),
    Event(Kind.BREAK, 1),
    Event(Kind.MUTE, 1),
)
"""What may happen in an exhaustive exploration; node 1 stands for all others."""
