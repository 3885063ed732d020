"""
The deadline that a request may bring, by which one rule chooses whose memory is taken.

A client sets it beside the other parameters of its request, in vLLM's `vllm_xargs`, in milliseconds from the
request's arrival. It is a wish about preemption only: nothing is dropped when it has passed.
"""

from collections.abc import Mapping
from math import inf
from typing import Any, Final, NamedTuple

KEY: Final = "loadline_deadline_ms"

LONGEST_MS: Final = 24 * 60 * 60 * 1000
"""A day. Chosen: whoever waits longer needs no deadline."""


class Deadline(NamedTuple):
    """Seconds from a request's arrival, infinite without a deadline; and whether nonsense was ignored."""

    after_s: float = inf
    is_ignored: bool = False


def read(extra_args: Mapping[str, Any] | None) -> Deadline:
    """The deadline in a request's additional arguments."""
    wish = (extra_args or {}).get(KEY)
    if wish is None:
        return Deadline()
    if isinstance(wish, bool) or not isinstance(wish, int | float):
        return Deadline(is_ignored=True)
    return Deadline(wish / 1000) if 1 <= wish <= LONGEST_MS else Deadline(is_ignored=True)
