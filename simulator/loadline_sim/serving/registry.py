"""
Every router and scheduler by its name. A new one is a module and a line here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from loadline_sim.serving.loops import SchedulerState
from loadline_sim.serving.routers.mixed_pools import mixed_pools
from loadline_sim.serving.routers.power_of_two import power_of_two
from loadline_sim.serving.routers.prefix_aware import PrefixAware
from loadline_sim.serving.routers.separate_pools import SeparatePools
from loadline_sim.serving.routers.token_queues import TokenQueues
from loadline_sim.serving.schedulers.continuous import continuous
from loadline_sim.serving.schedulers.splitwise import splitwise

SCHEDULERS: Final[Mapping[str, Callable[..., SchedulerState]]] = {
    "continuous": continuous,
    "splitwise": splitwise,
}

ROUTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "mixed-pools": mixed_pools,
    "power-of-two": power_of_two,
    "prefix-aware": PrefixAware,
    "separate-pools": SeparatePools,
    "token-queues": TokenQueues,
}
