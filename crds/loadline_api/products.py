"""
Numbers that are in bounds one by one, and absurd together.

Ten thousand replicas are many, 9,999 prefill replicas for each of them a slipped point: the pods of a
pool are a product of fields, and nobody who writes one sees the other. So the API server multiplies
too, and its sentence has both fields and what comes of them. `/scale` is refused likewise, so an
autoscaler stops there.

What was stored before these rules is bounded by `bounded_replicas` where counts are made.
"""

from typing import Final

from loadline_api.quantities import DECIMAL, MOST_REPLICAS
from loadline_api.schemas import rule

MOST_PODS: Final = MOST_REPLICAS
"""Of one pool, whose replicas may be groups of pods."""

MOST_GPUS: Final = 100_000
"""Of one pool: ten nodes' worth for each of a thousand replicas. Chosen; the largest fleets have some."""

_RATIO: Final = f"has(self.prefill.perDecode) && self.prefill.perDecode.matches('{DECIMAL}')"
_PREFILL: Final = (
    "(has(self.prefill.replicas) ? double(self.prefill.replicas)"
    f" : {_RATIO} ? double(self.replicas) * double(self.prefill.perDecode) : 0.0)"
)
_OWN: Final = "has(self.prefill.parallelism)"


def _of_main(field: str) -> str:
    return f"(has(self.parallelism) ? self.parallelism.{field} : 1)"


def _of_prefill(field: str) -> str:
    return f"({_OWN} ? self.prefill.parallelism.{field} : {_of_main(field)})"


def _gpus(of: str) -> str:
    make = _of_main if of == "main" else _of_prefill
    return " * ".join(make(field) for field in ("tensor", "pipeline", "data"))


PRODUCT_RULES = (
    rule(
        f"!has(self.prefill) || !({_RATIO})"
        f" || double(self.replicas) * double(self.prefill.perDecode) <= {MOST_REPLICAS}.0",
        says="'replicas is %d and prefill.perDecode is %s, which makes %d prefill replicas, and a pool has at"
        f' most {MOST_REPLICAS}: lower one of the two; "0.5" is one prefill replica for two decode replicas\''
        ".format([self.replicas, self.prefill.perDecode,"
        " int(double(self.replicas) * double(self.prefill.perDecode))])",
        at=".prefill.perDecode",
    ),
    rule(
        f"self.replicas * {_of_main('nodes')} <= {MOST_PODS}",
        says="'replicas is %d and parallelism.nodes is %d, which makes %d pods, and a pool has at most"
        f" {MOST_PODS}: lower one of the two'"
        f".format([self.replicas, {_of_main('nodes')}, self.replicas * {_of_main('nodes')}])",
        at=".replicas",
    ),
    rule(
        f"!has(self.prefill) || {_of_prefill('nodes')} == 1"
        f" || {_PREFILL} * double({_of_prefill('nodes')}) <= {MOST_PODS}.0",
        says="'prefill has %d replicas of %d nodes each, which makes %d pods, and a pool has at most"
        f" {MOST_PODS}: lower prefill.replicas, prefill.perDecode or parallelism.nodes of prefill'"
        f".format([int({_PREFILL}), {_of_prefill('nodes')},"
        f" int({_PREFILL} * double({_of_prefill('nodes')}))])",
        at=".prefill",
    ),
    rule(
        f"(self.replicas > 0 ? self.replicas : 1) * {_gpus('main')} <= {MOST_GPUS}",
        says="'replicas is %d, and parallelism gives each %d GPUs (tensor × pipeline × data), which makes %d"
        f" GPUs, and a pool has at most {MOST_GPUS}: lower replicas or parallelism'"
        f".format([self.replicas, {_gpus('main')}, self.replicas * {_gpus('main')}])",
        at=".parallelism",
    ),
    rule(
        f"!has(self.prefill) || ({_PREFILL} > 1.0 ? {_PREFILL} : 1.0) * double({_gpus('prefill')})"
        f" <= {MOST_GPUS}.0",
        says="'prefill has %d replicas, and parallelism gives each %d GPUs (tensor × pipeline × data), which"
        f" makes %d GPUs, and a pool has at most {MOST_GPUS}: lower its replicas or its parallelism'"
        f".format([int({_PREFILL}), {_gpus('prefill')}, int({_PREFILL} * double({_gpus('prefill')}))])",
        at=".prefill",
    ),
)
"""Rules of a service's spec."""


def bounded_replicas(replicas: int, *, nodes: int) -> int:
    """So many replicas of so many pods each, as far as a pool may have them."""
    return min(replicas, MOST_PODS // nodes)
