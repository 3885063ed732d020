"""
The schedulers that are compared, each as vLLM's engine core would make it, without a model's weights.

The pool is that of one engine with Llama-3.1-8B in FP8 on a share of an H200: seven engines on it, say. How
much these would slow each other down isn't modelled. All other settings are vLLM's defaults for this GPU,
prefix caching among them.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from vllm import __version__ as vllm_version
from vllm.v1.core.sched.async_scheduler import AsyncScheduler

from benchmarks.admissions.workloads import Arrival
from loadline_policies.kv.estimators import ByOracle, ByWorstCase, Estimator, Lengths
from loadline_policies.kv.lengths import Floats
from loadline_policies.kv.peaks import Ints
from loadline_policies.kv.predicted_memory import AdmissionMode, Config, EstimatorName
from loadline_vllm.admission.gates import Gate
from loadline_vllm.schedulers import LoadlineScheduler
from testbed.engines.schedulers import Limits, Memory, built

ADMISSION: Final = "LOADLINE_ADMISSION"
"""The variable that is the most the plugin may do."""

VLLM: Final = str(vllm_version)
BLOCK_TOKENS: Final = 16
LIMITS: Final = Limits(requests=1024, tokens=8192, context_tokens=32_768)
"""vLLM's defaults for an API server on an H200, and a context that each request fits into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of scheduling. `admission` are settings of Loadline's scheduler; without them it is vLLM's own.

    `estimator` makes one that no document can name, from the true lengths.
    """

    name: str
    watermark: float = 0.0
    admission: Config | None = None
    estimator: Callable[[Mapping[str, int]], Estimator] | None = None


class NoGrowth(ByWorstCase):
    """Expects that no request produces another token, so that nothing is refused that has room now."""

    def totals(self, batch: Lengths, uniforms: Floats) -> Ints:
        return np.broadcast_to(batch.produced, uniforms.shape)


def _enforced(**settings: Any) -> Config:
    return Config(admission=AdmissionMode.ENFORCE, **settings)


STOCK: Final = Arm(name="stock")
WATERMARK: Final = Arm(name="watermark", watermark=0.03)
HISTORY: Final = Arm(name="history", admission=_enforced())
BESIDE: Final = (
    Arm(
        name="victim alone",
        admission=_enforced(reserve_percent=0),
        estimator=lambda _: NoGrowth(),
    ),
    Arm(name="buckets", admission=_enforced(estimator=EstimatorName.BUCKETS)),
    Arm(name="worst case", admission=_enforced(estimator=EstimatorName.WORST_CASE)),
    Arm(name="oracle", admission=_enforced(reserve_percent=0), estimator=ByOracle),
)
JUDGED: Final = (STOCK, WATERMARK, HISTORY)
ARMS: Final[Mapping[str, Arm]] = MappingProxyType({one.name: one for one in (*JUDGED, *BESIDE)})


def of(arm: Arm, arrivals: Sequence[Arrival], *, blocks: int) -> Any:
    """A new scheduler of this arm; an estimator that knows the future reads it out of the arrivals."""
    memory = Memory(blocks=blocks, block_tokens=BLOCK_TOKENS, prefix_caching=True, watermark=arm.watermark)
    if arm.admission is None:
        return built(AsyncScheduler, memory, LIMITS)
    with _environment(ADMISSION, AdmissionMode.ENFORCE):
        scheduler = built(LoadlineScheduler, memory, LIMITS)
    gate = _gate(scheduler)
    gate.hold(arm.admission)
    if arm.estimator is not None:
        gate.ask_estimator(arm.estimator({one.request_id: one.output_tokens for one in arrivals}))
    return scheduler


def teach(scheduler: Any, lengths: Sequence[int]) -> None:
    """Let Loadline's scheduler have seen answers of these lengths; vLLM's own learns nothing."""
    if isinstance(scheduler, LoadlineScheduler):
        for length in lengths:
            _gate(scheduler).estimators.finished("", length)


def counts(scheduler: Any) -> dict[str, Any]:
    """What Loadline's scheduler counted; nothing of vLLM's own. Admission that failed ends the run."""
    if not isinstance(scheduler, LoadlineScheduler):
        return {}
    found = scheduler.loadline.answer()
    if found["off"] is not None:
        raise AdmissionFailed(found["off"])
    return {name: found["admission"][name] for name in ("refusals", "mispredicted", "preempted_tokens")}


class AdmissionFailed(Exception):
    """The plugin's scheduler went over to vLLM's own, so the run was not of its arm."""


def _gate(scheduler: LoadlineScheduler) -> Gate:
    admission = scheduler.loadline.admission
    if admission is None:
        raise AdmissionFailed(scheduler.loadline.off)
    return admission.gate


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
