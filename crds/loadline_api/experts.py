"""
What a service allows the loop over its experts, and what agents report of their load.

A mixture-of-experts layer waits for its fullest rank. Loadline's plugin counts how full that is, and can
bound an expert's load of a batch by γ times the mean, which changes answers. So a service says how far that
may go, and its status has the table from which a person can decide: what each γ would drop and save.

γ is in percent here: 150 is one and a half times the mean load.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from loadline_api.objectives import PolicyName, policy_of
from loadline_api.quantities import INT32, Count
from loadline_api.schemas import Spec, Status, list_map, rule, validations
from loadline_policies.loops import Loop

LEAST_GAMMA_PERCENT = 100
"""Below the mean load, balanced loads would lose pairs too."""

MOST_GAMMA_PERCENT = 10_000

GammaPercent = Annotated[
    int, Field(strict=True, ge=LEAST_GAMMA_PERCENT, le=MOST_GAMMA_PERCENT, json_schema_extra=INT32)
]

MOST_GAMMAS = 8
"""Rows of a shadow table; the plugin has five."""


class ExpertsMode(StrEnum):
    """How far Loadline's plugin may go in a service's engines."""

    OFF = "Off"
    OBSERVE = "Observe"
    ENFORCE = "Enforce"


class Strategy(StrEnum):
    """What becomes of a pair (a token at an expert) that is above the expert's capacity."""

    DROP = "Drop"
    REROUTE = "Reroute"
    RANK_DROP = "RankDrop"
    EXPANDED = "Expanded"
    THRESHOLD = "Threshold"


class Gamma(Spec):
    """Bounds of γ, beside those of the policy."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.minPercent <= self.maxPercent",
                says="'experts.gamma.minPercent is %d, above maxPercent (%d): lower minPercent or raise"
                " maxPercent'.format([self.minPercent, self.maxPercent])",
            )
        )
    )

    min_percent: GammaPercent = Field(default=125, description="The lowest γ, in percent of the mean load.")
    max_percent: GammaPercent = Field(
        default=300, description="The highest γ, in percent; above it the plugin bounds nothing."
    )


class ExpertsGuard(Spec):
    """When a capacity ends: readings above these, which the agent takes while it is in force."""

    max_dropped_percent: int = Field(
        default=12,
        strict=True,
        ge=0,
        le=100,
        description="Largest share of pairs that may be dropped, in percent.",
        json_schema_extra=INT32,
    )
    max_without_expert_permille: int = Field(
        default=10,
        strict=True,
        ge=0,
        le=1000,
        description="Largest share of tokens that may lose all experts of a layer, in 1/1000.",
        json_schema_extra=INT32,
    )
    max_canary_drift_millinats: int = Field(
        default=20,
        strict=True,
        ge=0,
        le=10_000,
        description="Largest fall of the mean log-probability of Loadline's own test prompts, in 1/1000 nat.",
        json_schema_extra=INT32,
    )


class Experts(Spec):
    """How the experts' loop treats the service."""

    policy_ref: PolicyName | None = policy_of(Loop.EXPERTS)
    mode: ExpertsMode = Field(
        default=ExpertsMode.OFF,
        description="Off: vLLM's layers of experts stay as they are. Observe: the plugin counts their load"
        " and changes no answer. Enforce: the policy may also bound it, which changes answers, while an"
        " objective of slo is missed. With model, changing it restarts the engines, and all but Off set"
        " VLLM_PLUGINS, so list other plugins of the engine's image in VLLM_PLUGINS of the template.",
    )
    gamma: Gamma | None = Field(default=None, description="Bounds of γ; the policy has its own as well.")
    strategy: Strategy = Field(
        default=Strategy.DROP,
        description="What becomes of a pair above its expert's capacity. Drop: it isn't computed. Reroute:"
        " the token's next best expert with room computes it. RankDrop: it isn't computed if its whole rank"
        " is full. Expanded: as Drop, and experts on the token's own rank also compute tokens that did not"
        " choose them, as far as they have room; needs expert parallelism. Threshold: each expert computes"
        " the pairs whose score reaches a fixed threshold, so that no answer depends on other requests.",
    )
    min_tokens: int = Field(
        default=256,
        strict=True,
        ge=1,
        le=2**20,
        description="Tokens of a batch from which on it may be bounded; steps that only decode have fewer, as"
        " a rule.",
        json_schema_extra=INT32,
    )
    guard: ExpertsGuard | None = Field(
        default=None, description="When a capacity ends; the policy has its own limits as well."
    )


EXPERTS_RULES = (
    rule(
        "!has(self.experts) || self.experts.mode != 'Enforce' || has(self.slo)",
        message="experts.mode is Enforce, but a capacity is only in force while an objective is missed: add"
        " slo, or set experts.mode to Observe",
        at=".experts.mode",
    ),
)
"""Rules of the whole spec."""


class GammaOutlook(Status):
    """What one γ would do to the batches that were counted."""

    gamma_percent: GammaPercent = Field(description="γ: the capacity, in percent of the mean load.")
    dropped_permille: int = Field(
        ge=0,
        le=1000,
        description="Share of pairs that Drop would not compute, in 1/1000.",
        json_schema_extra=INT32,
    )
    rank_load_percent: Count = Field(
        description="Load of the fullest rank that is left, in percent of the mean."
    )
    saving_percent: int = Field(
        ge=0,
        le=100,
        description="Most by which the time of the layers of experts would shrink, in percent.",
        json_schema_extra=INT32,
    )


class ExpertsStatus(Status):
    """How the layers of experts are loaded, from large batches of the engines that report it."""

    engines: Count = Field(default=0, description="Engines that report counts.")
    bounded_engines: Count = Field(
        default=0, description="Engines in which a capacity is in force on all ranks, as they report."
    )
    gamma_percent: Count | None = Field(
        default=None, description="The lowest γ that is in force, in percent; absent if none is."
    )
    layers: Count = Field(default=0, description="Layers of experts that are counted.")
    left_alone_layers: Count = Field(
        default=0,
        description="Layers of experts that stay as vLLM built them; the engine's metric"
        " loadline:experts_bypassed has the reasons.",
    )
    batches: Count = Field(default=0, description="Large batches that the table is made from.")
    expert_load_percent: Count | None = Field(
        default=None, description="Load of a layer's fullest expert, in percent of the mean."
    )
    rank_load_percent: Count | None = Field(
        default=None, description="Load of a layer's fullest rank, in percent of the mean."
    )
    gammas: tuple[GammaOutlook, ...] = Field(
        default=(),
        description="The shadow table: what each γ would have done to these batches.",
        json_schema_extra={**list_map("gammaPercent"), "maxItems": MOST_GAMMAS},
    )
    dropped_permille: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Share of pairs that were not computed since the capacity is in force, in 1/1000.",
        json_schema_extra=INT32,
    )
    without_expert_permille: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Share of tokens that lost all experts of a layer since then, in 1/1000.",
        json_schema_extra=INT32,
    )
    canary_drift_millinats: Count | None = Field(
        default=None,
        description="Fall of the mean log-probability of Loadline's test prompts since then, in 1/1000 nat;"
        " absent if unknown.",
    )
    reason: str | None = Field(
        default=None,
        max_length=64,
        description="Why the policy bounds the experts or doesn't, in one CamelCase word.",
    )
