"""
What the layers of experts of one engine have counted, as the experts' section of a worker's report has it.

The plugin writes the section and the agent reads it, both by the models here; `worker_messages` carries the
section and doesn't look into it. All counts are sums since the settings changed that the ranks hold now.
Counts of single experts aren't in a report, because those of a large model would fill it.

Nothing in a section is believed beyond its bounds: a count is finite and not negative, a layer without a
pair has no imbalance, and one with pairs has none that divides by zero. Keys of a later version are ignored.
What a plugin of an earlier version doesn't send is None, and unknown.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from loadline_api.refusals import refused
from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_policies.experts.shadow_tables import Counts, summed

LONGEST_NAME: Final = 256
"""Characters of a layer's name or of a reason, as many as a text in a worker's message may have."""

MOST_LAYERS: Final = 128
"""Layers in a section; vLLM's largest models have fewer. With so many it has some 45 KiB."""

MOST_REASONS: Final = 64
MOST_RANKS_NAMED: Final = 8

LARGEST_COUNT: Final = 2**63 - 1
LEAST_LOAD: Final = 1e-6
"""The smallest mean load where there is a pair: no layer has a million experts. It keeps quotients finite."""

GRID: Final = len(GRID_THOUSANDTHS)

Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Amount = Annotated[float, Field(strict=True, ge=0, le=LARGEST_COUNT, allow_inf_nan=False)]
Reasons = Annotated[dict[Name, Count], Field(max_length=MOST_REASONS)]


class _Part(BaseModel):
    """A part of a section; JSON's lists are read as tuples, and no text as a number."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class LayerCounts(_Part):
    """The counts of one layer. `batches` is of small and of large batches, all else of large ones alone.

    What each number is, is said by the field of the same name in `shadow_tables.Counts`.
    """

    batches: tuple[Count, Count]
    pairs: Count
    expert_mean: Amount
    expert_most: Amount
    rank_mean: Amount
    rank_most: Amount
    dropped: Annotated[tuple[Count, ...], Field(min_length=GRID, max_length=GRID)]
    capped_rank_most: Annotated[tuple[Amount, ...], Field(min_length=GRID, max_length=GRID)]

    @model_validator(mode="after")
    def _can_be_divided(self) -> Self:
        """Refuse pairs without a load, by which imbalances are divided, and more dropped than offered."""
        loads = (self.expert_mean, self.expert_most, self.rank_mean, self.rank_most, *self.capped_rank_most)
        if self.pairs and min(loads) < LEAST_LOAD:
            raise ValueError(f"report loads of at least {LEAST_LOAD:g} where there are pairs")
        if any(dropped > self.pairs for dropped in self.dropped):
            raise ValueError("report no more dropped pairs than pairs")
        return self

    @property
    def counts(self) -> Counts:
        """The counts as shadow tables are made of them."""
        return Counts(
            pairs=self.pairs,
            expert_mean=self.expert_mean,
            expert_most=self.expert_most,
            rank_mean=self.rank_mean,
            rank_most=self.rank_most,
            dropped=self.dropped,
            capped_rank_most=self.capped_rank_most,
        )

    @classmethod
    def of(cls, counts: Counts, *, batches: tuple[int, int]) -> Self:
        """The counts of a layer, as a section has them."""
        return cls(
            batches=batches,
            pairs=counts.pairs,
            expert_mean=counts.expert_mean,
            expert_most=counts.expert_most,
            rank_mean=counts.rank_mean,
            rank_most=counts.rank_most,
            dropped=counts.dropped,
            capped_rank_most=counts.capped_rank_most,
        )


class BoundCounts(_Part):
    """What a bound did to the batches that it was in force for, summed over all layers.

    A batch passes all layers and counts in each: so a batch of T tokens adds T to `tokens` for each layer
    that is bounded. `without_expert` counts in the same way the tokens that lost all experts of a layer. So
    their quotient is the share of tokens without an expert in the mean layer, and needs no number of layers.
    """

    bounded_batches: Count = 0
    tokens: Count | None = None
    offered: Count = 0
    dropped: Count = 0
    rerouted: Count = 0
    without_expert: Count = 0

    @model_validator(mode="after")
    def _are_shares(self) -> Self:
        """Refuse a share above 1."""
        if self.dropped + self.rerouted > self.offered:
            raise ValueError("report no more dropped and rerouted pairs than were offered")
        if self.tokens is not None and self.without_expert > self.tokens:
            raise ValueError("report no more tokens without an expert than tokens")
        return self

    @property
    def dropped_fraction(self) -> float | None:
        """The share of the offered pairs that no expert computed; None before the first bounded batch."""
        return self.dropped / self.offered if self.offered else None

    @property
    def without_expert_fraction(self) -> float | None:
        """The share of tokens without an expert in the mean layer; None before the first bounded batch."""
        return self.without_expert / self.tokens if self.tokens else None


class RankLoad(_Part):
    """How much one rank has to compute, over all layers."""

    rank: Count
    load: Amount
    """As a multiple of the mean load of a rank."""


class EplbCounts(_Part):
    """How long ago vLLM's EPLB has last moved experts."""

    steps_since_rearranged: Count
    step_interval: Annotated[int, Field(strict=True, ge=1, le=LARGEST_COUNT)]
    """After so many steps it should move them."""


class ExpertCounts(_Part):
    """The section: the settings that all ranks hold, and what was counted under them.

    Of a model with more than MOST_LAYERS layers the first are in `layers`, and `layers_left_out` is the
    number of the others. `bypassed` has the number of layers that aren't counted by reason, `unbounded` that
    of layers that are counted and whose routing isn't changed, whatever `mode` says.
    """

    mode: Literal["off", "observe", "enforce"] | None = None
    """None, like the two after it, where the ranks hold different settings."""

    gamma_thousandths: Count | None = None
    strategy: Name | None = None
    layers: Annotated[dict[Name, LayerCounts], Field(max_length=MOST_LAYERS)]
    layers_left_out: Count = 0
    bypassed: Reasons = Field(default_factory=dict)
    unbounded: Reasons = Field(default_factory=dict)
    bound: BoundCounts = BoundCounts()
    fullest_ranks: Annotated[tuple[RankLoad, ...], Field(max_length=MOST_RANKS_NAMED)] = ()
    """The fullest first; none before the first large batch."""

    eplb: EplbCounts | None = None
    """None without EPLB."""

    @property
    def total(self) -> Counts | None:
        """The counts of all layers in the section together; None without a layer."""
        return summed(layer.counts for layer in self.layers.values())

    def encode(self) -> dict[str, JsonValue]:
        """The section of a report."""
        section: dict[str, JsonValue] = self.model_dump(mode="json")
        return section


def decode(section: Mapping[str, JsonValue]) -> ExpertCounts:
    """The counts in a report's section; InvalidInput names what is wrong with it."""
    try:
        return ExpertCounts.model_validate(section)
    except ValidationError as error:
        raise refused(error, "experts") from error
