"""
What deciding costs on this machine: the arithmetic alone, and a whole schedule() beside vLLM's own.

Both are of an engine that runs 256 requests and has one more whose prompt doesn't fit, so that each step asks
once and is refused, by vLLM's own test too. The first figure is what has a goal; the second is the sum of
everything that Loadline's scheduler adds, the reading of the requests' state above all.
"""

import time
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.admissions import schedulers
from benchmarks.admissions.engines import SimulatedEngine
from benchmarks.admissions.workloads import Arrival
from loadline_policies.kv.admissions import Admission, Member, Members, Pool
from loadline_policies.kv.estimators import ByHistory
from loadline_policies.kv.lengths import LengthHistory
from loadline_policies.kv.peaks import BlockGroup
from loadline_policies.kv.predicted_memory import AdmissionMode, Config
from loadline_policies.models import step_parameters
from testbed.engines.schedulers import hasher

REQUESTS: Final = 256
PROMPT_TOKENS: Final = 1000
OUTPUT_TOKENS: Final = 120
BLOCKS: Final = 18_300
"""Room for all of them at their full length, and not for the prompt of `HEAD_TOKENS` beside them."""
HEAD_TOKENS: Final = 32_000
TURNS: Final = 3
"""How often each arm is timed, in turn."""
FILLED: Final = 40
"""Steps after which all requests have been prefilled, and run until the first ends."""


ARMS: Final = (
    schedulers.STOCK,
    schedulers.Arm(name="history", admission=Config(admission=AdmissionMode.ENFORCE, reserve_percent=0)),
)
"""Without a reserve both arms run the same requests in this pool."""


def measured(*, steps: int) -> dict[str, Any]:
    """Microseconds, each the median over so many decisions or steps; arms take turns."""
    times: dict[str, list[float]] = {arm.name: [] for arm in ARMS}
    for arm in TURNS * ARMS:
        times[arm.name] += schedule_times_s(arm, steps=steps)
    return {
        "requests": REQUESTS,
        "decision_us": 1e6 * median(decision_times_s(decisions=10 * steps)),
        **{f"schedule_us_{name}": 1e6 * median(each) for name, each in times.items()},
    }


def decision_times_s(*, decisions: int) -> list[float]:
    """Seconds of a step's prediction and one question, with a full history."""
    rng = np.random.default_rng(0)
    history = LengthHistory(window=1000, least=50, initial_tokens=2048)
    for length in rng.integers(1, 1000, 1000).tolist():
        history.add(length)
    pool = Pool(blocks=BLOCKS, groups=(BlockGroup(block_tokens=16),), reserve_percent=5)
    admission = Admission(pool, ByHistory(history, draws=5), rng=rng)
    members = Members.of([_member(str(number), int(rng.integers(900))) for number in range(REQUESTS)])
    times = []
    for _ in range(decisions):
        began = time.perf_counter()
        admission.begin(members)
        admission.ask(_member("head", 0))
        times.append(time.perf_counter() - began)
    return times


def schedule_times_s(arm: schedulers.Arm, *, steps: int) -> list[float]:
    """Seconds of each schedule() while all requests run and the head of the queue is refused."""
    arrivals = [_arrival(number) for number in range(REQUESTS)] + [_head()]
    scheduler = schedulers.of(arm, arrivals, blocks=BLOCKS)
    schedulers.teach(scheduler, [OUTPUT_TOKENS] * 1000)
    engine = SimulatedEngine(
        scheduler=scheduler,
        steps=step_parameters.load().steps,
        arrivals=arrivals,
        hasher=hasher(schedulers.BLOCK_TOKENS),
    )
    engine.run()
    return engine.work.schedule_times_s[FILLED : FILLED + steps]


def _member(request_id: str, produced: int) -> Member:
    return Member(
        request_id=request_id,
        held_tokens=PROMPT_TOKENS + produced,
        produced_tokens=produced,
        most_tokens=4096,
    )


def _arrival(number: int, *, prompt_tokens: int = PROMPT_TOKENS) -> Arrival:
    return Arrival(
        request_id=str(number),
        arrived_s=0.0,
        prompt_tokens=prompt_tokens,
        output_tokens=OUTPUT_TOKENS,
        most_tokens=512,
    )


def _head() -> Arrival:
    return _arrival(REQUESTS, prompt_tokens=HEAD_TOKENS)
