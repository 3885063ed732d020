"""
Every router and scheduler by its name. A new one is a module and a line here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from loadline_sim.serving.events import Records
from loadline_sim.serving.loops import SchedulerState
from loadline_sim.serving.routers.mixed_pools import mixed_pools
from loadline_sim.serving.routers.token_queues import TokenQueues
from loadline_sim.serving.schedulers.splitwise import splitwise
from loadline_sim.serving.servers import Fleet

SCHEDULERS: Final[Mapping[str, Callable[[Records, Fleet, int], SchedulerState]]] = {
    "splitwise": splitwise,
}

ROUTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "mixed-pools": mixed_pools,
    "token-queues": TokenQueues,
}
