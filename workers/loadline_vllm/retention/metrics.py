"""The metrics of retention, in the engine's own `/metrics`."""

import math
from dataclasses import dataclass, field

from loadline_api.kv_retention_counts import RetentionCounts
from loadline_vllm.metric_series import Published, Series
from loadline_vllm.retention.obstacles import Obstacle

KEPT = Series(
    name="loadline:retention_kept_tokens",
    help="Tokens that a request keeps at most that arrives now; +Inf while requests keep all.",
)
BOUNDED_NOW = Series(name="loadline:retention_bounded", help="Requests that run or wait and have a budget.")
BOUNDED = Series(
    name="loadline:retention_bounded_requests", help="Requests that got a budget.", type="counter"
)
POOL = Series(name="loadline:retention_pool_blocks", help="Blocks of KV memory that requests can hold.")
SAVED = Series(
    name="loadline:retention_saved_blocks",
    help="Blocks of KV memory that bounded requests would hold now beside those that they hold, if they had"
    " kept all tokens.",
)
FREED = Series(
    name="loadline:retention_freed_blocks",
    help="Blocks of KV memory that were given back by requests that went on.",
    type="counter",
)
FOLDS = Series(
    name="loadline:retention_folds",
    help="Times that a request's tokens were reduced to its budget, as the ranks have counted them; absent"
    " while they count none.",
    type="counter",
)
REFUSED_SPANS = Series(
    name="loadline:retention_refused_spans",
    help="Requests whose loadline_protect or loadline_fair was ignored, since it couldn't hold.",
    type="counter",
)
OFF = Series(
    name="loadline:retention_off",
    help="1: no new request can be bounded, although LOADLINE_RETENTION asks for it.",
    labels=("reason",),
    values=tuple(Obstacle),
)
ALL = (KEPT, BOUNDED_NOW, BOUNDED, POOL, SAVED, FREED, FOLDS, REFUSED_SPANS, OFF)


@dataclass(slots=True)
class RetentionMetrics:
    """The series in the process that serves `/metrics`."""

    _published: Published = field(default_factory=Published)

    def publish(self, counts: RetentionCounts) -> None:
        """Publish what cores and ranks counted."""
        published = self._published
        for reason in Obstacle:
            published.set(OFF, counts.unbounded == reason, reason)
        published.set(KEPT, math.inf if counts.kept_tokens is None else counts.kept_tokens)
        published.set(BOUNDED_NOW, counts.bounded_requests)
        published.count(BOUNDED, counts.bounded)
        published.set(POOL, counts.pool_blocks)
        if counts.saved_blocks is not None:
            published.set(SAVED, counts.saved_blocks)
        published.count(FREED, counts.freed_blocks)
        if counts.folds is not None:
            published.count(FOLDS, counts.folds)
        published.count(REFUSED_SPANS, counts.refused_spans)
