"""
Retention's part in the engine's front-end: what cores and ranks answered is added up, published, reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from loadline_vllm.retention.core_answers import of_cores
from loadline_vllm.retention.core_rpc import COUNTS
from loadline_vllm.retention.metrics import RetentionMetrics
from loadline_vllm.retention.rank_rpc import FOLDS


@dataclass(frozen=True, slots=True)
class RetentionFrontEnd:
    """What one front-end publishes."""

    metrics: RetentionMetrics = field(default_factory=RetentionMetrics)

    def counted(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, JsonValue]:
        """Publish what cores and ranks answered, and return the section of a report."""
        counts = of_cores(
            [answer[COUNTS] for answer in answers if COUNTS in answer],
            folds=[answer[FOLDS] for answer in answers if FOLDS in answer],
        )
        if counts is None:
            return {}
        self.metrics.publish(counts)
        return counts.encode()
