"""
What a document of the policy `memory-rungs` may set: its budgets, when it moves between them, and its guard.

Without settings it observes. All figures are chosen. What a budget costs in quality depends on the model and
on the prompts, so the guard measures it on the engine that serves.
"""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final

from pydantic import Field, model_validator

from loadline_policies.errors import InvalidPolicy
from loadline_policies.kv.engine_memories import QualityClass
from loadline_policies.settings import Settings

MOST_RUNGS: Final = 4
MOST_TOKENS: Final = 10_000_000


class RetentionMode(StrEnum):
    """How far the policy goes."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


class Config(Settings):
    """What a `memory-rungs` document may set."""

    retention: RetentionMode = Field(
        RetentionMode.OBSERVE,
        strict=False,
        description="observe: say which budget would be put in force; enforce: put it in force, which changes"
        " answers",
    )
    rung_tokens: tuple[Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)], ...] = Field(
        (2048, 1024),
        strict=False,
        min_length=1,
        max_length=MOST_RUNGS,
        description="tokens that a request keeps at each rung, the largest first; each a multiple of the"
        " engine's block size",
    )
    climb_percent: int = Field(
        90, ge=1, le=100, description="share of the KV memory above which it is short, in use or predicted"
    )
    window_seconds: int = Field(
        60,
        ge=1,
        le=86_400,
        description="seconds for which memory must have been short, but for dips of 5 points, before"
        " requests keep fewer tokens; one preemption within them is enough",
    )
    descend_percent: int = Field(
        70,
        ge=0,
        le=99,
        description="share of the KV memory that may be in use at most, with what requests would hold then,"
        " before they keep more tokens again",
    )
    calm_seconds: int = Field(
        300, ge=1, le=86_400, description="seconds for which that must have been so without a preemption"
    )
    settle_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="seconds for which a budget is kept before it is moved again, either way. A request keeps"
        " the budget that it arrived with, so this should be as long as most requests run",
    )
    max_prefix_hit_percent: int = Field(
        30,
        ge=0,
        le=100,
        description="share of the prompts' tokens found in the prefix cache above which no request is"
        " bounded, since bounded ones share no prefix; 100: whatever the share is",
    )
    max_recall_loss_percent: int = Field(
        5,
        ge=0,
        le=100,
        description="largest share of the recall probe's facts that may be lost under a budget",
    )
    max_canary_drift_millinats: int = Field(
        20,
        ge=0,
        le=10_000,
        description="largest fall of the mean log-probability of Loadline's test prompts, in 1/1000 nat",
    )
    stale_seconds: int = Field(
        30, ge=1, le=3600, description="age in seconds above which observations count as unknown"
    )
    evidence_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="seconds for which a budget is kept while a reading is missing",
    )
    retry_seconds: int = Field(
        0,
        ge=0,
        le=604_800,
        description="seconds after which requests may be bounded again once the guard has ended it; 0: when"
        " the document or the spec is edited",
    )

    def allowed_tokens(self, quality_class: QualityClass) -> tuple[int, ...]:
        """The budgets that a service of this class may get, the largest first."""
        return self.rung_tokens[: _MOST_RUNGS_OF[quality_class]]

    @model_validator(mode="after")
    def _in_order(self) -> "Config":
        if any(larger <= smaller for larger, smaller in pairwise(self.rung_tokens)):
            raise InvalidPolicy(
                "rungTokens", list(self.rung_tokens), fix="list the largest first, and none twice"
            )
        if self.descend_percent >= self.climb_percent:
            fix = f"set it below climbPercent ({self.climb_percent})"
            raise InvalidPolicy("descendPercent", self.descend_percent, fix=fix)
        if self.calm_seconds < self.window_seconds:
            fix = f"set it to windowSeconds ({self.window_seconds}) or more"
            raise InvalidPolicy("calmSeconds", self.calm_seconds, fix=fix)
        return self


_MOST_RUNGS_OF: Final = {QualityClass.FULL: 0, QualityClass.HIGH: 1, QualityClass.STANDARD: MOST_RUNGS}
