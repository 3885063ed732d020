"""
What servers can be simulated, and how well the times of each are known.

An engine here is a model on some GPUs whose steps were measured. What has no measurement has no entry: a time
for another GPU or model would be a guess that looks like an answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from loadline_policies.errors import InvalidInput
from loadline_policies.models import step_parameters
from loadline_sim import fits, step_fits
from loadline_sim.serving import splitwise_fleets, step_fleets
from loadline_sim.serving.servers import Fleet
from loadline_sim.serving.splitwise_fleets import Dgx


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server with its model: `gpus` of it, and a fleet of so many for steps of at most so many tokens.

    `front_end_s` is what a request takes before and after its steps, in all. `step_error` is the mean
    relative error of its step times, `known_by` says against what, and `left_out` what that error doesn't
    cover.
    """

    name: str
    title: str
    gpus: int
    front_end_s: float
    step_error: float
    known_by: str
    left_out: str
    fleet: Callable[[int, int], Fleet]


def engine_of(name: str) -> Engine:
    """An engine by its name; InvalidInput lists those that there are."""
    if name not in ENGINES:
        raise InvalidInput("engine", name, fix=f"name one of {', '.join(ENGINES)}")
    return ENGINES[name]()


def _bloom(name: str, gpu: str, kind: Dgx) -> Callable[[], Engine]:
    @cache
    def made() -> Engine:
        runs = fits.measured(kind.value[0])
        return Engine(
            name=name,
            title=f"BLOOM-176B on eight {gpu} (tensor parallel 8)",
            gpus=splitwise_fleets.GPUS,
            front_end_s=0.0,
            step_error=splitwise_fleets.step_error(kind),
            known_by=f"{len(runs)} measured runs of splitwise-sim: the times at each number of tokens, told "
            "from those at the others",
            left_out="A step with prompts and answers in it counts as one with prompts of as many tokens. "
            "The front end, which takes its time before a request's first step, wasn't measured.",
            fleet=lambda servers, most: splitwise_fleets.fleet([kind] * servers, longest_prompt=most),
        )

    return made


@cache
def _llama() -> Engine:
    points, model = step_fits.points(), step_parameters.load()
    alone_s = step_fits.fit(points).front_end_us / 1e6
    return Engine(
        name=model.name,
        title="Llama-3.1-8B in FP8 on one H200",
        gpus=1,
        front_end_s=alone_s - model.steps.base_s,
        step_error=step_fits.held_out_error(points),
        known_by=f"{len(points)} points of Dynamo's profile of vLLM, each told by a fit to the others",
        left_out="A step with prompts and answers in it is the sum of both, which nobody measured. The front "
        "end is the same for every request.",
        fleet=lambda servers, most: step_fleets.fleet(model, servers, most_tokens=most),
    )


ENGINES: Final[Mapping[str, Callable[[], Engine]]] = {
    "a100-bloom-176b": _bloom("a100-bloom-176b", "A100-80GB", Dgx.A100),
    "h100-bloom-176b": _bloom("h100-bloom-176b", "H100-80GB", Dgx.H100),
    "h200-llama-3.1-8b-fp8": _llama,
}
"""Every engine by its name, made when it is asked for."""
