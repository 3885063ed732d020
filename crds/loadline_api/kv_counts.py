"""
What the schedulers of one engine have counted, as the section `kv` of a worker's report has it.

The plugin writes the section and the agent reads it, both by the models here; `worker_messages` carries the
section and doesn't look into it. The section has `off` where the engine admits as vLLM does, and no
`admission` where it never did otherwise. What a part of the engine has not answered isn't there: an absent
section says nothing.

Counters grow from the start of the engine, and whoever reads them takes differences. All other numbers are of
the moment. With data parallelism numbers are sums over the engines, but lengths are known as in the engine
that knows the fewest, and memory is used and predicted as in the fullest, as a share of all. Nothing in a
section is believed beyond its bounds. Keys of a later version are ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from loadline_api.refusals import refused
from loadline_policies.kv.predicted_memory import AdmissionMode, EstimatorName

LARGEST_COUNT: Final = 2**63 - 1

Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]


class AdmissionCounts(BaseModel):
    """What admission by predicted memory knows and did, in all engines that one front-end serves."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mode: Annotated[AdmissionMode, Field(strict=False)]
    """What is in force now: `enforce` only where every engine lets requests wait."""

    estimator: Annotated[EstimatorName, Field(strict=False)]
    is_warm: Annotated[bool, Field(strict=True)]
    """Whether every engine's estimator has seen enough requests to go by them alone."""

    known_requests: Count
    """Requests whose lengths are known."""

    pool_blocks: Count
    used_blocks: Count
    predicted_peak_blocks: Count | None = None
    """Of the last request that was asked for, with those that held memory then; None before the first. It may
    be more than the pool has, when that request was refused."""

    running: Count
    waiting: Count

    refusals: Count
    """Steps in which the first waiting request was refused, or would have been in mode observe."""

    preemptions: Count
    preempted_tokens: Count
    """Tokens that preempted requests had computed, and lost."""

    mispredicted: Count
    """Requests that outgrew what was predicted for them."""

    errors: Count = 0
    """Engines in which the plugin's admission failed; vLLM's own is in force there until they restart."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        """Refuse more used blocks than there are."""
        if self.used_blocks > self.pool_blocks:
            raise ValueError("report no more used blocks than the pool has")
        return self


class KvCounts(BaseModel):
    """The section. `off` is why engines admit as vLLM does, in the plugin's words, None if none does."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    admission: AdmissionCounts | None = None
    off: Annotated[str, Field(max_length=64)] | None = None

    def encode(self) -> dict[str, JsonValue]:
        """The section of a report."""
        section: dict[str, JsonValue] = self.model_dump(mode="json", exclude_none=True)
        return section


def decode(section: Mapping[str, JsonValue]) -> KvCounts:
    """The counts in a report's section; InvalidInput names what is wrong with it."""
    try:
        return KvCounts.model_validate(section)
    except ValidationError as error:
        raise refused(error, "kv") from error
