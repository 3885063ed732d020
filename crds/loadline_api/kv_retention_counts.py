"""
What one engine has counted of retention, as the section `kv-retention` of a worker's report has it.

The plugin writes the section and the agent reads it, both by the model here; `worker_messages` carries the
section and doesn't look into it. An engine that was started with retention reports it, whether its requests
can be bounded or not. An absent section says nothing.

Counters grow from the start of the engine, and whoever reads them takes differences. All other numbers are of
the moment. With data parallelism numbers are sums over the engine cores, but memory is used and saved as in
the fullest, as a share of all. Pool, used blocks and preemptions are those that admission reports too, since
each of the two can be without the other. Nothing in a section is believed beyond its bounds. Keys of a later
version are ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from loadline_api.kv_counts import Count
from loadline_api.refusals import refused
from loadline_policies.kv.rung_settings import MOST_TOKENS
from loadline_policies.loops import Loop

KeptTokens = Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)] | None


class RetentionCounts(BaseModel):
    """How the KV memory of requests is bounded, in all engines that one front-end serves."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    policy: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    """By which rule the tokens are chosen that stay."""

    kept_tokens: KeptTokens = None
    """The budget of requests that arrive now, None if they keep all. The largest where engines differ, and
    None where one of them bounds none."""

    most_tokens: KeptTokens = None
    """The largest budget that any request may have, since the engine was started for no larger one; None if
    requests may keep all."""

    block_tokens: Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)]
    pool_blocks: Count
    used_blocks: Count

    saved_blocks: Count | None = None
    """What bounded requests would hold now beside what they do hold, if they had kept all of their tokens.
    None if the plugin can't tell."""

    bounded_requests: Count
    """Requests that have a budget now."""

    bounded: Count
    """Requests that got one."""

    freed_blocks: Count
    """Blocks of folded tokens that were given back."""

    folds: Count | None = None
    """Folds of one request's buffer, as the ranks have counted them; None while they haven't answered."""

    refused_spans: Count
    """Requests of which a span was ignored, since it couldn't hold."""

    has_prefix_cache: Annotated[bool, Field(strict=True)]
    """Whether requests share prefixes in any of the engines."""

    prefix_queried_tokens: Count | None = None
    """Tokens of prompts that were looked for in the prefix cache; those of bounded requests are not. None
    where vLLM keeps no statistics."""

    prefix_hit_tokens: Count | None = None
    """Those of them that were found."""

    preemptions: Count
    """Of all requests; admission counts them too, where it runs."""

    unbounded: Annotated[str, Field(strict=True, min_length=1, max_length=64)] | None = None
    """Why no new request can be bounded, in the plugin's words; None if it can in every engine."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        """Refuse more of a part than of the whole."""
        parts = (
            (self.used_blocks, self.pool_blocks, "used blocks than the pool has"),
            (self.bounded_requests, self.bounded, "bounded requests than got a budget"),
            (self.prefix_hit_tokens or 0, self.prefix_queried_tokens or 0, "tokens found than looked for"),
        )
        for part, whole, what in parts:
            if part > whole:
                raise ValueError(f"report no more {what}")
        return self

    def encode(self) -> dict[str, JsonValue]:
        """The section of a report."""
        section: dict[str, JsonValue] = self.model_dump(mode="json", exclude_none=True)
        return section


def decode(section: Mapping[str, JsonValue]) -> RetentionCounts:
    """The counts in a report's section; InvalidInput names what is wrong with it."""
    try:
        return RetentionCounts.model_validate(section)
    except ValidationError as error:
        raise refused(error, Loop.KV_RETENTION) from error
