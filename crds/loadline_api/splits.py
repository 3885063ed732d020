"""
What a split into prefill and decode forbids: limits of the KV transfer between engines.

Keys and values move from a prefill engine to a decode engine by vLLM's NIXL connector.
Where the two can't agree they say so at the first request, long after they have become
ready; so what is known beforehand is refused by the API server. Limits are those of vLLM
0.32: no pipeline on either side, tensor degrees of which one divides the other, and a few
features that the connector refuses. Whether a prefill of more GPUs than decode has works
depends on the model's heads, which nobody knows here.
"""

from loadline_api.engine_options import forms
from loadline_api.engines import NEVER_SPLIT
from loadline_api.schemas import rule

_OWN = "has(self.prefill.parallelism)"
_PREFILL = f"({_OWN} ? self.prefill.parallelism.tensor : {{main}})"
_MAIN = "(has(self.parallelism) ? self.parallelism.tensor : 1)"
_TENSOR = _PREFILL.format(main=_MAIN)
_REFUSED = f"self.engine.arguments.filter(a, a.matches('{forms(NEVER_SPLIT)}'))"

SPLIT_RULES = (
    rule(
        "!has(self.prefill) || !has(self.parallelism) || self.parallelism.pipeline == 1",
        says="'parallelism.pipeline is %d, but the KV transfer between prefill and decode supports only 1:"
        " set it to 1 and raise tensor, or remove prefill'.format([self.parallelism.pipeline])",
        at=".parallelism.pipeline",
    ),
    rule(
        f"!has(self.prefill) || !{_OWN} || self.prefill.parallelism.pipeline == 1",
        says="'prefill.parallelism.pipeline is %d, but the KV transfer between prefill and decode supports"
        " only 1: set it to 1 and raise tensor'.format([self.prefill.parallelism.pipeline])",
        at=".prefill.parallelism.pipeline",
    ),
    rule(
        f"!has(self.prefill) || {_TENSOR} % {_MAIN} == 0 || {_MAIN} % {_TENSOR} == 0",
        says="'prefill.parallelism.tensor is %d and parallelism.tensor is %d, but the KV transfer"
        " needs one to be a multiple of the other: change one of them'"
        f".format([{_TENSOR}, {_MAIN}])",
        at=".prefill.parallelism.tensor",
    ),
    rule(
        f"!has(self.prefill) || !has(self.engine) || {_REFUSED}.size() == 0",
        says="'engine.arguments has %s, which the KV transfer between prefill and decode does not support:"
        f" remove the argument, or remove prefill'.format([{_REFUSED}[0]])",
        at=".engine.arguments",
    ),
)
"""Rules of a service's spec, for those that have a prefill pool."""
