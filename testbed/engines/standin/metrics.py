"""
What an engine of vLLM 0.32 tells Prometheus, as far as somebody here reads it.

Names, labels and bounds are vLLM's, and all series are born at zero as there; a test
compares them with those of a real engine.
"""

import itertools
import threading
from collections import defaultdict

REASONS = ("stop", "length", "abort", "error")
SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")

BOUNDS = {
    "vllm:time_to_first_token_seconds": (
        "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 160.0 "
        "640.0 2560.0"
    ),
    "vllm:inter_token_latency_seconds": (
        "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0"
    ),
    "vllm:e2e_request_latency_seconds": (
        "0.3 0.5 0.8 1.0 1.5 2.0 2.5 5.0 10.0 15.0 20.0 30.0 40.0 50.0 60.0 120.0 240.0 480.0 960.0 1920.0 "
        "7680.0"
    ),
}
GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:num_preemptions_total")
NIXL = (
    "vllm:nixl_bytes_transferred_count",
    "vllm:nixl_bytes_transferred_sum",
    "vllm:nixl_num_failed_transfers_total",
)

Key = tuple[str, str]
"""A series: its name, and its labels beyond those that all have."""


class Metrics:
    """The series of one engine; safe to be used by all its threads."""

    def __init__(self, model: str, *, transfers: bool) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._values: dict[Key, float] = {(name, ""): 0.0 for name in GAUGES + COUNTERS}
        self._values |= {("vllm:request_success_total", f'finished_reason="{one}"'): 0.0 for one in REASONS}
        self._values |= {("vllm:prompt_tokens_by_source_total", f'source="{one}"'): 0.0 for one in SOURCES}
        if transfers:
            self._values |= {(name, ""): 0.0 for name in NIXL}
        self._observed: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, name: str, *, amount: float = 1.0, labels: str = "") -> None:
        """Move a counter, or a gauge of things that come and go."""
        with self._lock:
            self._values[name, labels] += amount

    def set(self, name: str, value: float) -> None:
        with self._lock:
            self._values[name, ""] = value

    def observe(self, name: str, seconds: float) -> None:
        """Add to a histogram."""
        with self._lock:
            self._observed[name].append(seconds)

    def text(self) -> str:
        """All series, as Prometheus reads them."""
        with self._lock:
            lines = [self._line(name, labels, value=value) for (name, labels), value in self._values.items()]
            return "\n".join(itertools.chain(lines, *map(self._histogram, BOUNDS))) + "\n"

    def _histogram(self, name: str) -> list[str]:
        observed = self._observed[name]
        bounds = [*BOUNDS[name].split(), "+Inf"]
        buckets = [sum(one <= float(bound) for one in observed) for bound in bounds]
        lines = [
            self._line(f"{name}_bucket", f'le="{bound}"', value=count)
            for bound, count in zip(bounds, buckets, strict=True)
        ]
        return [
            *lines,
            self._line(f"{name}_count", "", value=len(observed)),
            self._line(f"{name}_sum", "", value=sum(observed)),
        ]

    def _line(self, name: str, labels: str, *, value: float) -> str:
        common = f'engine="0",model_name="{self._model}"'
        return f"{name}{{{common}{',' + labels if labels else ''}}} {float(value)}"
