"""
What an engine's metrics say, as far as Loadline asks: queue, memory, latencies, plugin.

vLLM answers with some 60 KB, of which a dozen lines per engine core matter. They are
found by their names and nothing else is read (0.12 ms instead of 7 ms for
prometheus_client's parser). Names and labels are those of vLLM 0.32, and of SGLang's page on
production metrics (it answers where it was started with `--enable-metrics`); an engine with several
cores has a row for each, told apart by a label, which are summed. Engines of other versions have
other series: what isn't there isn't known, and no zero.

Pure: text in, values out. Somebody else wrote the text, so whatever is odd is refused.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from loadline_agent.workloads.histograms import Histogram, histogram_of
from loadline_policies.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one kind of engine calls its series; KV's use by several names, the newest first."""

    running: bytes
    waiting: bytes
    kv_use: tuple[bytes, ...]
    ttft: bytes
    itl: bytes


VLLM = Series(
    running=b"vllm:num_requests_running",
    waiting=b"vllm:num_requests_waiting",
    kv_use=(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),
    ttft=b"vllm:time_to_first_token_seconds",
    itl=b"vllm:inter_token_latency_seconds",
)
SGLANG = Series(
    running=b"sglang:num_running_reqs",
    waiting=b"sglang:num_queue_reqs",
    kv_use=(b"sglang:token_usage",),
    ttft=b"sglang:time_to_first_token_seconds",
    itl=b"sglang:inter_token_latency_seconds",
)
PLUGIN = b"loadline:plugin_info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One engine at one moment; None is what it doesn't tell.

    `kv_use` is the fullest core's share, histograms count since its start.
    """

    running: float
    waiting: float | None
    kv_use: float | None
    ttft: Histogram | None
    itl: Histogram | None
    plugin: bool


def scrape_of(text: bytes) -> Scrape | None:
    """What an engine says; None if neither vLLM nor SGLang answers. InvalidInput for impossible numbers."""
    text = b"\n" + text  # so that every line begins alike
    return _scrape(text, VLLM) or _scrape(text, SGLANG)


def _scrape(text: bytes, series: Series) -> Scrape | None:
    running, waiting = _values(text, series.running), _values(text, series.waiting)
    if not running:
        return None
    kv_uses = (values for name in series.kv_use if (values := _values(text, name)))
    return Scrape(
        running=sum(running),
        waiting=sum(waiting) if waiting else None,
        kv_use=max(next(kv_uses, ()), default=None),
        ttft=_histogram(text, series.ttft),
        itl=_histogram(text, series.itl),
        plugin=next(_lines(text, PLUGIN), None) is not None,
    )


def _histogram(text: bytes, name: bytes) -> Histogram | None:
    counts: dict[float, float] = {}
    for line in _lines(text, name + b"_bucket"):
        bound = _bound(line)
        counts[bound] = counts.get(bound, 0.0) + _value(line)
    return histogram_of(counts) if counts else None


def _values(text: bytes, name: bytes) -> tuple[float, ...]:
    return tuple(_value(line) for line in _lines(text, name))


def _lines(text: bytes, name: bytes) -> Iterator[bytes]:
    """The lines of one series, wherever they stand."""
    sought = b"\n" + name + b"{"
    at = text.find(sought)
    while at >= 0:
        end = text.find(b"\n", at + 1)
        yield text[at + 1 : end if end >= 0 else len(text)]
        at = text.find(sought, end) if end >= 0 else -1


def _bound(line: bytes) -> float:
    """The label `le`; quotes inside of other labels are escaped, so it can't be mistaken."""
    for opening in (b'{le="', b',le="'):
        at = line.find(opening)
        if at >= 0:
            start = at + len(opening)
            return _number(line[start : line.find(b'"', start)], line)
    raise InvalidInput("metrics", line[:80], fix="give every bucket its le")


def _value(line: bytes) -> float:
    value = _number(line[line.rfind(b"}") + 1 :].strip(), line)
    if not math.isfinite(value):
        raise InvalidInput("metrics", line[:80], fix="give a finite number")
    return value


def _number(text: bytes, line: bytes) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput("metrics", line[:80], fix="give a number") from error
