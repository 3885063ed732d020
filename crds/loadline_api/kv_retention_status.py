"""
What agents report of retention: in how many engines requests may be bounded, by which budget, and why.

A figure is absent while it is unknown. A status is written again only when a person would act otherwise.
"""

from typing import Final

from pydantic import Field

from loadline_api.material_moves import counter_moved, share_moved
from loadline_api.quantities import Count
from loadline_api.reasons import Reason
from loadline_api.schemas import Status

MOST_ADVICE: Final = 256
"""Characters of an advice."""

GRAVEST_FIRST: Final = (
    Reason.PLUGIN_FAILED,
    Reason.ENGINE_UNABLE,
    Reason.RECALL_LOST,
    Reason.DRIFTED,
    Reason.OBSERVING,
    Reason.READINGS_UNKNOWN,
    Reason.PREFIX_HITS,
    Reason.PREFIX_HITS_UNKNOWN,
    Reason.BASELINE_UNKNOWN,
    Reason.NO_BUDGET,
    Reason.POLICY_OBSERVES,
    Reason.NOT_ALLOWED,
    Reason.LAST_RUNG,
    Reason.QUALITY_CLASS,
    Reason.SETTLING,
    Reason.MEMORY_SHORT,
    Reason.NO_PRESSURE,
    Reason.BOUNDED,
)
"""Reasons that agents report of retention; of engines that differ, the first of theirs is shown."""


class RetentionStatus(Status):
    """How requests are bounded, as the engines that report it have read it back."""

    engines: Count = Field(default=0, description="Engines whose plugin reports to an agent.")
    bounding_engines: Count = Field(
        default=0,
        description="Engines in which requests may be bounded by a budget of the spec or the policy, and in"
        " which all ranks can drop tokens, as they report.",
    )
    budget_tokens: Count | None = Field(
        default=None,
        description="Tokens that a new request keeps, in the engine where that is the least; absent if new"
        " requests keep all.",
    )
    bounded_requests: Count | None = Field(
        default=None, description="Requests that got a budget since these engines were started."
    )
    folded_tokens: Count | None = Field(
        default=None,
        description="Tokens of running requests that were dropped since then, and whose memory is free.",
    )
    refused_spans: Count | None = Field(
        default=None,
        description="Requests since then whose spans, which a client named, were ignored because they can't"
        " hold.",
    )
    prefix_hit_percent: Count | None = Field(
        default=None,
        description="Share of the prompts' tokens that were found in the prefix cache, in percent, in the"
        " engine where that is the most. Bounded requests find none.",
    )
    reason: str | None = Field(
        default=None,
        max_length=64,
        description="Why requests are bounded or aren't, in one CamelCase word: the gravest of the engines'.",
    )
    advice: str | None = Field(
        default=None,
        max_length=MOST_ADVICE,
        description="What else would free KV memory, which the policy doesn't do itself because it restarts"
        " engines.",
    )

    def is_news_to(self, before: "RetentionStatus") -> bool:
        """Whether a person who has read `before` would act otherwise after this."""
        return (
            self._acted_on != before._acted_on
            or share_moved(self.prefix_hit_percent, before.prefix_hit_percent)
            or any(map(counter_moved, self._counters, before._counters))
        )

    def as_moved_from(self, before: "RetentionStatus | None") -> "RetentionStatus":
        """`before`, unless there is none or this is news to it."""
        return self if before is None or self.is_news_to(before) else before

    def acts_like(self, other: "RetentionStatus") -> bool:
        """Whether only figures differ, if anything does."""
        return self._acted_on == other._acted_on

    @property
    def _acted_on(self) -> tuple[object, ...]:
        return self.engines, self.bounding_engines, self.budget_tokens, self.reason, self.advice

    @property
    def _counters(self) -> tuple[int | None, ...]:
        return self.bounded_requests, self.folded_tokens, self.refused_spans
