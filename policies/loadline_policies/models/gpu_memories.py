"""
How fast GPUs read their memory: as vendors state it, and as one profile of an engine shows it.

Decoding waits for memory, so bytes divided by these rates bound the time of a step from below. The profile's
rate is that of KV alone: what another token of context added to the time of a step.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from loadline_policies.models import step_parameters
from loadline_policies.models.parameters import Section

GPU_FILE: Final = "gpu-memories.yaml"


class GpuEntry(BaseModel):
    """One GPU of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    terabytes_per_s: float = Field(gt=0)


class GpuTable(Section):
    """The file: GPUs whose figures share one source."""

    gpus: tuple[GpuEntry, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU's memory, and where its rate comes from."""

    name: str
    bytes_per_s: float
    source: str


def load() -> tuple[Gpu, ...]:
    """The GPUs of the file that lies beside this module, then the one of the profile."""
    table = parse(files(__package__).joinpath(GPU_FILE).read_text("utf-8"))
    stated = (
        Gpu(name=one.name, bytes_per_s=one.terabytes_per_s * 1e12, source=table.source) for one in table.gpus
    )
    return (*stated, _profiled())


def parse(text: str) -> GpuTable:
    """A file's content; pydantic's ValidationError names the field that is wrong."""
    return GpuTable.model_validate(yaml.safe_load(text))


def _profiled() -> Gpu:
    engine = step_parameters.load()
    return Gpu(
        name="H200, measured",
        bytes_per_s=engine.kv_bytes_per_token / engine.steps.context_s,
        source=f"KV reads in the profile {engine.name}: what a token of context adds to a step",
    )
