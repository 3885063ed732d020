"""
What a document of the capacity factor's policy may set: when a capacity begins, how it moves, when it ends.

γ is in percent here, as in specs: 150 is one and a half times the mean load. A document without settings has
these defaults. At a share of about 12 % of dropped pairs the paper reports its speed-up of 1.85 times
(Capacity-Aware Inference, arXiv 2503.05066); the other figures are chosen.
"""

from pydantic import Field, model_validator

from loadline_policies.errors import InvalidPolicy
from loadline_policies.settings import Settings


class Config(Settings):
    """What a `capacity-factor` document may set. γ is in percent: 150 is one and a half times the mean."""

    min_gamma_percent: int = Field(
        125, ge=100, le=10_000, description="the lowest γ, in percent of the mean load"
    )
    max_gamma_percent: int = Field(
        300, ge=100, le=10_000, description="the highest γ, in percent; above it nothing is bounded"
    )
    min_gain_percent: int = Field(
        5,
        ge=0,
        le=100,
        description="predicted saving of step time below which no capacity is enforced; one that is in force"
        " stays while it saves half as much",
    )
    hysteresis_percent: int = Field(
        10, ge=1, le=50, description="points below its target at which an objective counts as met with room"
    )
    cooldown_seconds: int = Field(
        120,
        ge=1,
        le=86_400,
        description="seconds for which a γ is kept before the latencies may change it; the agent measures"
        " latencies over the last minute at least",
    )
    stale_seconds: int = Field(
        30, ge=1, le=3600, description="age in seconds above which observations count as unknown"
    )
    evidence_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="seconds for which a capacity is enforced while a reading of the guard is missing",
    )
    max_dropped_percent: int = Field(
        12, ge=0, le=100, description="largest share of pairs (a token at an expert) that may be dropped"
    )
    max_without_expert_permille: int = Field(
        10,
        ge=0,
        le=1000,
        description="largest share of tokens, in 1/1000, that may lose all experts of a layer",
    )
    max_canary_drift_millinats: int = Field(
        20,
        ge=0,
        le=10_000,
        description="largest fall of the mean log-probability of Loadline's test prompts, in 1/1000 nat",
    )
    breach_hold_seconds: int = Field(
        3600,
        ge=1,
        le=604_800,
        description="seconds for which no capacity is enforced after the guard has ended one",
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Config":
        if self.min_gamma_percent > self.max_gamma_percent:
            raise InvalidPolicy(
                "minGammaPercent",
                self.min_gamma_percent,
                fix=f"set it to maxGammaPercent ({self.max_gamma_percent}) or less",
            )
        return self
