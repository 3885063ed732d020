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
from loadline_sim import fits
from loadline_sim.serving import splitwise_fleets
from loadline_sim.serving.servers import Fleet
from loadline_sim.serving.splitwise_fleets import Dgx


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server with its model: `gpus` of it, and a fleet of so many for prompts of at most so many tokens.

    `step_error` is the mean relative error of its step times, `known_by` says against what, and `left_out`
    what that error doesn't cover.
    """

    name: str
    title: str
    gpus: int
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
            step_error=splitwise_fleets.step_error(kind),
            known_by=f"{len(runs)} measured runs of splitwise-sim: the times at each number of tokens, told "
            "from those at the others",
            left_out="A step with prompts and answers in it counts as one with prompts of as many tokens.",
            fleet=lambda servers, longest: splitwise_fleets.fleet([kind] * servers, longest_prompt=longest),
        )

    return made


ENGINES: Final[Mapping[str, Callable[[], Engine]]] = {
    "a100-bloom-176b": _bloom("a100-bloom-176b", "A100-80GB", Dgx.A100),
    "h100-bloom-176b": _bloom("h100-bloom-176b", "H100-80GB", Dgx.H100),
}
"""Every engine by its name, made when it is asked for."""
