"""
Named tests of leaders and of members that come and go, as schedules with the end that is expected of each.
"""

from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.expectations import FOUR, TEN, Scenario, armed, given, led, limits, whole
from testbed.protocol_model.schedules import IDLE, together
from testbed.protocol_model.setups import row

LEADERS = (
    Scenario(
        name="the API server away for 60 s",
        expected="the leader goes on while everybody reports its epoch",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.API_DOWN)), (60, Event(Kind.API_UP))],
        end=lambda world: whole(world) and world.epochs == 1,
    ),
    Scenario(
        name="the API server away for 60 s, and the leader dies",
        expected="everybody at safe until there is a leader, then as before",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.API_DOWN)), (5, Event(Kind.DEPOSE)), (55, Event(Kind.API_UP))],
        end=lambda world: whole(world) and world.epochs == 2 and limits(world) == [700] * 4,
    ),
    Scenario(
        name="a leader that hears one of ten",
        expected="after 30 s it gives way to a candidate that hears all",
        setup=TEN,
        schedule=[IDLE, *together(Kind.UNHEAR, range(1, 10), after_s=20)],
        end=lambda world: whole(world) and world.epochs == 2,
    ),
    Scenario(
        name="a leader without members in a one-node row",
        expected="the only candidate stays",
        setup=row(1, budget_watts=500),
        schedule=[IDLE, (20, Event(Kind.MUTE, 0))],
        end=lambda world: world.epochs == 1 and world.leader is not None,
    ),
    Scenario(
        name="two leaders with two plans",
        expected="the older may only lower, the newer waits for its acknowledgements, and one plan is left",
        setup=FOUR,
        schedule=[
            IDLE,
            *together(Kind.STAY, (0, 1), after_s=20),
            (0, Event(Kind.ISOLATE)),
            (5, Event(Kind.BUDGET, 0, 2000)),
            (20, Event(Kind.BREAK, 3)),
            (0, Event(Kind.BUSY)),
            *together(Kind.TURN, (0, 1), after_s=20),
        ],
        end=lambda world: led(world) and len(world.leading) == 1,
    ),
)


MEMBERSHIP = (
    Scenario(
        name="a dead setter and release",
        expected="disarmed after three tries",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.BREAK, 0)), (5, Event(Kind.LEAVE, 0))],
        end=lambda world: led(world) and armed(world) == [1, 2, 3],
    ),
    Scenario(
        name="silent members and release",
        expected="one is silent for good, another is released beside it",
        setup=FOUR,
        schedule=[IDLE, (20, Event(Kind.MUTE, 1)), (60, Event(Kind.LEAVE, 0))],
        end=lambda world: led(world) and 0 not in armed(world),
    ),
    Scenario(
        name="five joiners at once",
        expected="armed in their first second, and one plan for all",
        setup=TEN,
        schedule=[IDLE, *together(Kind.LEAVE, range(5)), *together(Kind.JOIN, range(5), after_s=60)],
        end=lambda world: whole(world) and given(world) == [520] * 10,
    ),
)
