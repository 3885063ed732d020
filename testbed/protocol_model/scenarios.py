"""
The rule's named tests, as schedules with the end that is expected of each.

A scenario keeps every oracle all the time; `end` says what must be so when it is over. What the
model can't express is not here: docs/designs/0002 lists it.
"""

from dataclasses import replace

from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.expectations import (
    FOUR,
    TEN,
    THREE,
    Scenario,
    able,
    armed,
    given,
    led,
    limits,
    planned,
    whole,
)
from testbed.protocol_model.hardware import Gpu
from testbed.protocol_model.rules import SHORT_TIMES
from testbed.protocol_model.scenarios_of_leaders import LEADERS, MEMBERSHIP
from testbed.protocol_model.schedules import IDLE, flapping, foreign, together
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


CALM = (
    Scenario(
        name="a free row, nobody at safe",
        expected="every limit at its maximum, everybody able by the arming step alone, nobody held",
        setup=TEN,
        schedule=[IDLE],
        end=lambda world: whole(world) and limits(world) == [700] * 10,
    ),
    Scenario(
        name="GPU at its minimum",
        expected="one step up and down proves it",
        setup=replace(THREE, gpus=(Gpu(requested_watts=200), Gpu(), Gpu())),
        schedule=[IDLE],
        end=whole,
    ),
    Scenario(
        name="safe = minimum",
        expected="a row whose budget is the sum of its lowest limits is armed, able and led",
        setup=replace(row(3, budget_watts=1500), gpus=(Gpu(lowest_watts=500),) * 3),
        schedule=[IDLE],
        end=lambda world: whole(world) and given(world) == [500] * 3,
    ),
    Scenario(
        name="lowest = maximum",
        expected="there is nothing to prove, and it is never in U",
        setup=replace(
            THREE, gpus=(Gpu(lowest_watts=400, highest_watts=400, requested_watts=400), Gpu(), Gpu())
        ),
        schedule=[IDLE],
        end=lambda world: led(world) and not planned(world) and able(world) == 2,
    ),
    Scenario(
        name="a BMC's cap below the order, and lifted",
        expected="it holds what was requested all the time, so its lifting changes nothing",
        setup=FOUR,
        schedule=[
            IDLE,
            *together(Kind.CAP, range(4), after_s=20, watts=300),
            *together(Kind.CAP, range(4), after_s=60),
        ],
        end=whole,
    ),
)

FAULTS = (
    Scenario(
        name="one unreadable GPU for good with k = 0",
        expected="planned for at its maximum, the others at 430 W, the policy leads",
        setup=THREE,
        schedule=[IDLE, (20, Event(Kind.BLIND, 0))],
        end=lambda world: led(world) and planned(world) == [0] and given(world)[1:] == [430, 430],
    ),
    Scenario(
        name="U above k by orders alone",
        expected="three fall silent in the second that frees the row; heard again, they count as before",
        setup=TEN,
        schedule=[
            (30, Event(Kind.IDLE)),
            *together(Kind.DEAFEN, range(3), after_s=9),
            *together(Kind.MUTE, range(3), after_s=1),
            *together(Kind.CONNECT, range(3), after_s=20),
        ],
        end=whole,
    ),
    Scenario(
        name="an able member that never acknowledges",
        expected="planned for at the old limit that it falls to, the others give for it, the policy leads",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.UNRECORD, 0)), (10, Event(Kind.BUDGET, 0, 2000))],
        end=lambda world: led(world) and planned(world) == [0] and given(world)[1:] == [466, 466, 466],
    ),
    Scenario(
        name="setters that fail for 20 s while all are at safe",
        expected="nobody writes, so nobody is unable, and all is as before",
        setup=TEN,
        schedule=[
            *together(Kind.BREAK, range(10), after_s=30),
            *together(Kind.FIX, range(10), after_s=20),
            (60, Event(Kind.IDLE)),
        ],
        end=whole,
    ),
    Scenario(
        name="budget too small by faults",
        expected="eight setters dead at 700 W: the lowest limits, held, until they work again",
        setup=TEN,
        schedule=[IDLE, *together(Kind.BREAK, range(8), after_s=20), (5, Event(Kind.BUSY))],
        end=lambda world: not led(world) and limits(world)[8:] == [200, 200],
    ),
    Scenario(
        name="a budget too small by faults that fits again",
        expected="after 30 s of proof everybody is counted as before, and nothing holds the row",
        setup=TEN,
        schedule=[
            IDLE,
            *together(Kind.BREAK, range(8), after_s=20),
            (5, Event(Kind.BUSY)),
            (0, Event(Kind.IDLE)),
            *together(Kind.FIX, range(8), after_s=60),
        ],
        end=lambda world: whole(world) and given(world) == [520] * 10,
        last_s=200,
    ),
    Scenario(
        name="setters that die in calm",
        expected="found by the brake; the eight others are planned at 475 W, the policy leads",
        setup=TEN,
        schedule=[IDLE, *together(Kind.BREAK, range(2), after_s=20), (100, Event(Kind.BUSY))],
        end=lambda world: led(world) and planned(world) == [0, 1] and given(world)[2:] == [475] * 8,
        last_s=150,
    ),
    Scenario(
        name="a reboot that forgets limits",
        expected="armed and proven anew",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.REBOOT, 0))],
        end=whole,
    ),
    Scenario(
        name="a driver reset",
        expected="proven anew at once",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.RESET, 0)), (30, Event(Kind.BUSY)), (10, Event(Kind.RESET, 1))],
        end=whole,
    ),
    Scenario(
        name="an unwritable record",
        expected="never armed, counted at its maximum, and the others are planned around it",
        setup=FOUR,
        schedule=[IDLE, (0, Event(Kind.UNRECORD, 0))],
        end=lambda world: led(world) and armed(world) == [1, 2, 3] and given(world)[1:] == [566] * 3,
    ),
    *(
        Scenario(
            name=f"a node that flaps {silent_s} of {period_s} s, with k = {setup.tolerated}",
            expected="planned for or within k, and in neither case a row that is held again and again",
            setup=setup,
            schedule=[IDLE, *flapping(period_s=period_s, silent_s=silent_s, times=270 // period_s)],
            end=led,
            last_s=0,
        )
        for silent_s, period_s in ((3, 6), (5, 45))
        for setup in (THREE, FOUR)
    ),
)

STRANGERS = (
    Scenario(
        name="a stranger every 5 s, higher",
        expected="unable, planned for at the stranger's limit, and the policy leads",
        setup=THREE,
        schedule=[IDLE, (10, Event(Kind.BUSY)), *foreign(every_s=5, watts=700, times=24)],
        end=lambda world: led(world) and planned(world) == [0],
        last_s=20,
    ),
    *(
        Scenario(
            name=f"a stranger every {every_s} s, higher",
            expected="overwritten each time, nobody is unable",
            setup=THREE,
            schedule=[IDLE, (10, Event(Kind.BUSY)), *foreign(every_s=every_s, watts=700, times=3)],
            end=whole,
            last_s=20,
        )
        for every_s in (50, 61)
    ),
    *(
        Scenario(
            name=f"a stranger every {every_s} s, lower",
            expected="it stays, it counts as what the GPU holds, nobody is unable",
            setup=THREE,
            schedule=[IDLE, *foreign(every_s=every_s, watts=300, times=max(3, 60 // every_s))],
            end=lambda world: whole(world) and limits(world)[0] == 300,
            last_s=20,
        )
        for every_s in (5, 50, 61)
    ),
    Scenario(
        name="a stranger that stops",
        expected="ten minutes later the GPU is able, and soon it is planned for no longer",
        setup=THREE,
        schedule=[IDLE, (10, Event(Kind.BUSY)), *foreign(every_s=5, watts=700, times=12)],
        end=whole,
        last_s=700,
    ),
)


SCENARIOS = (*CALM, *FAULTS, *STRANGERS, *LEADERS, *MEMBERSHIP)
