"""Compiled code writes into no array beyond its end, which it would do without a word.

The compiler checks each index in a process that asks for it, by its own option.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput
from loadline_sim.serving.registry import SCHEDULERS
from loadline_sim.serving.simulations import requests_of
from loadline_sim.serving.splitwise_fleets import Dgx, fleet
from loadline_sim.traffic.traces import Trace

pytestmark = pytest.mark.slow  # the loop is compiled once a machine, and once more with checks

BURSTS = """
import sys
import numpy as np
from loadline_sim.serving import loops
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.splitwise_fleets import Dgx, fleet
from loadline_sim.traffic.traces import Trace

for servers, each in ((1, 300), (4, 40), (10, 60), (20, 20)):
    arrival_s = np.linspace(0.0, 0.02, servers * each)
    trace = Trace(arrival_s, np.ones(arrival_s.size, np.int64), np.full(arrival_s.size, 3))
    made = fleet([Dgx.H100] * servers + [Dgx.A100] * servers, longest_prompt=1)._replace(bytes_per_s=1e5)
    router = ROUTERS["mixed-pools"](np.array([0] * servers + [1] * servers))
    outcomes = loops.simulate(trace, fleet=made, router=router, scheduler=SCHEDULERS[sys.argv[1]])
    assert not np.isnan(outcomes.response_s).any()
"""
"""Many prompts that end in one step of many servers, over a link on which their KV stays for long."""


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_no_index_is_out_of_bounds_when_prompts_end_in_bursts(scheduler: str) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    command = (sys.executable, "-c", BURSTS, scheduler)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_with_more_tokens_than_have_a_time_are_refused(scheduler: str) -> None:
    trace = Trace(np.zeros(1), np.ones(1, np.int64), np.ones(1, np.int64))
    made = fleet([Dgx.H100], longest_prompt=1)
    short = made._replace(token_s=made.token_s[:, :1000])
    with pytest.raises(InvalidInput, match="tokens of a step is 2048: the tables of times end at 999"):
        SCHEDULERS[scheduler](requests_of(trace), short, 8)
