"""
The file that holds a model's parameters, and where each of them comes from.

Numbers without a source rot, so the file can't be read without one in each section:
a fit names its data, and what is recalled or assumed says `unverified`. The simulator's
`fits` module writes the fitted sections; a test compares them with the fit.

Everybody who needs a model calls `load()` once and passes the models on.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from loadline_policies.errors import InvalidPolicy
from loadline_policies.models.latencies import LatencyModel
from loadline_policies.models.watts import WattModel

DEFAULT_FILE = "a100-bloom-176b.yaml"


class Section(BaseModel):
    """A group of parameters that share one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    """A data set and how it was fitted, a paper, or «unverified» and what it rests on."""


class GpuSection(Section):
    """The GPU and its server; idle draw doesn't depend on the clock."""

    gpus: int = Field(ge=1)
    tdp_watts: float = Field(gt=0)
    min_limit_watts: float = Field(gt=0)
    min_mhz: int = Field(gt=0)
    full_mhz: int = Field(gt=0)
    idle_share: float = Field(ge=0, lt=1)
    host_watts: float = Field(ge=0)
    max_batch: int = Field(ge=1)


class PrefillSection(Section):
    """Knots by prompt tokens, at full clock: seconds, and draw ÷ TDP."""

    tokens: tuple[float, ...] = Field(min_length=2)
    seconds: tuple[float, ...]
    shares: tuple[float, ...]

    @model_validator(mode="after")
    def _check_knots(self) -> Self:
        if not len(self.tokens) == len(self.seconds) == len(self.shares):
            raise InvalidPolicy("prefill", len(self.tokens), fix="give as many seconds and shares as tokens")
        if list(self.tokens) != sorted(set(self.tokens)):
            raise InvalidPolicy("prefill.tokens", self.tokens, fix="let the knots rise")
        return self


class DecodeSection(Section):
    """Linear in the batch, at full clock: seconds per token, and draw ÷ TDP."""

    base_s: float = Field(gt=0)
    slot_s: float = Field(ge=0)
    share: float = Field(gt=0)
    share_per_slot: float = Field(ge=0)


class ClockSection(Section):
    """What a clock below full does to watts and to times."""

    power_exponent: float = Field(gt=0)
    decode_fixed_share: float = Field(ge=0, lt=1)
    prefill_clock_share: float = Field(ge=0, le=1)
    decode_clock_share: float = Field(ge=0, le=1)
    decode_arithmetic_share: float = Field(ge=0, le=1)


class Parameters(BaseModel):
    """One model on one kind of server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    gpu: GpuSection
    prefill: PrefillSection
    decode: DecodeSection
    clock: ClockSection


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerModel:
    """A server's times and watts. `host_watts` is what it draws beside its `gpus` GPUs, always."""

    name: str
    gpus: int
    max_batch: int
    host_watts: float
    min_limit_watts: float
    latencies: LatencyModel
    watts: WattModel

    @property
    def max_watts(self) -> float:
        """The server's nameplate: all GPUs at TDP, and the host."""
        return self.host_watts + self.gpus * self.watts.tdp_watts


def load(name: str = DEFAULT_FILE) -> ServerModel:
    """The model of a parameter file that lies beside this module."""
    return model_of(parse(files(__package__).joinpath(name).read_text("utf-8")))


def parse(text: str) -> Parameters:
    """A parameter file's content; pydantic's ValidationError names the field that is wrong."""
    return Parameters.model_validate(yaml.safe_load(text))


def model_of(parameters: Parameters) -> ServerModel:
    """The models that the parameters describe."""
    gpu = parameters.gpu
    return ServerModel(
        name=parameters.name,
        gpus=gpu.gpus,
        max_batch=gpu.max_batch,
        host_watts=gpu.host_watts,
        min_limit_watts=gpu.min_limit_watts,
        latencies=_latencies(parameters),
        watts=_watts(parameters),
    )


def _latencies(parameters: Parameters) -> LatencyModel:
    return LatencyModel(
        full_mhz=parameters.gpu.full_mhz,
        prefill_tokens=parameters.prefill.tokens,
        prefill_seconds=parameters.prefill.seconds,
        decode_base_s=parameters.decode.base_s,
        decode_slot_s=parameters.decode.slot_s,
        prefill_clock_share=parameters.clock.prefill_clock_share,
        decode_clock_share=parameters.clock.decode_clock_share,
        decode_arithmetic_share=parameters.clock.decode_arithmetic_share,
    )


def _watts(parameters: Parameters) -> WattModel:
    return WattModel(
        tdp_watts=parameters.gpu.tdp_watts,
        full_mhz=parameters.gpu.full_mhz,
        min_mhz=parameters.gpu.min_mhz,
        idle_share=parameters.gpu.idle_share,
        prefill_tokens=parameters.prefill.tokens,
        prefill_shares=parameters.prefill.shares,
        decode_share=parameters.decode.share,
        decode_share_per_slot=parameters.decode.share_per_slot,
        clock_exponent=parameters.clock.power_exponent,
        decode_fixed_share=parameters.clock.decode_fixed_share,
    )
