"""
The file that holds the step times of a model on a GPU and the memory for its KV, each with its source.

As in `parameters`, a section without a source can't be read. `loadline_sim.step_fits` makes the times from
the measurements that ship with the simulator, and a test compares both.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from loadline_policies.models.parameters import Section
from loadline_policies.models.steps import StepModel

STEP_FILE: Final = "h200-llama-3.1-8b-fp8.yaml"
GIB: Final = 1 << 30


class StepSection(Section):
    """The fields of `StepModel`, in microseconds, pairs in picoseconds."""

    base_us: float = Field(gt=0)
    decode_us: float = Field(ge=0)
    context_us: float = Field(ge=0)
    prefill_us: float = Field(gt=0)
    pair_ps: float = Field(ge=0)


class MemorySection(Section):
    """How many tokens' KV there was room for at a share of the GPU's memory, and what a token takes."""

    gpu_gib: float = Field(gt=0)
    utilization: float = Field(gt=0, le=1)
    kv_tokens: int = Field(gt=0)
    kv_bytes_per_token: int = Field(gt=0)


class StepParameters(BaseModel):
    """One model on one kind of GPU."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    step: StepSection
    memory: MemorySection


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineModel:
    """An engine's step times, and the GPU memory that it takes for KV and for all else."""

    name: str
    steps: StepModel
    gpu_bytes: float
    other_bytes: float
    kv_bytes_per_token: int

    def kv_tokens(self, utilization: float) -> int:
        """Tokens whose KV fits where the engine may use this share of the GPU's memory."""
        return int((utilization * self.gpu_bytes - self.other_bytes) / self.kv_bytes_per_token)


def load(name: str = STEP_FILE) -> EngineModel:
    """The model of a file that lies beside this module."""
    return model_of(parse(files(__package__).joinpath(name).read_text("utf-8")))


def parse(text: str) -> StepParameters:
    """A file's content; pydantic's ValidationError names the field that is wrong."""
    return StepParameters.model_validate(yaml.safe_load(text))


def model_of(parameters: StepParameters) -> EngineModel:
    """The model that the parameters describe."""
    step, memory = parameters.step, parameters.memory
    gpu_bytes = memory.gpu_gib * GIB
    return EngineModel(
        name=parameters.name,
        steps=StepModel(
            base_s=step.base_us / 1e6,
            decode_s=step.decode_us / 1e6,
            context_s=step.context_us / 1e6,
            prefill_s=step.prefill_us / 1e6,
            pair_s=step.pair_ps / 1e12,
        ),
        gpu_bytes=gpu_bytes,
        other_bytes=memory.utilization * gpu_bytes - memory.kv_tokens * memory.kv_bytes_per_token,
        kv_bytes_per_token=memory.kv_bytes_per_token,
    )
