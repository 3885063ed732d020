"""A request keeps its objectives if it was done within every objective that there is."""

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput
from loadline_sim.capacity.objectives import Objectives, tpot_s
from loadline_sim.serving.loops import Outcomes

OUTCOMES = Outcomes(np.array([1.0, 1.0, 3.0, 1.0, 1.0]), np.array([2.0, 11.0, 4.0, 1.0, np.nan]))
OUTPUT = np.array([11, 11, 11, 1, 11])
"""Of a quick request, one with slow tokens, one with a late first token, one of one token, one never done."""


def test_time_per_token_is_that_of_the_tokens_after_the_first() -> None:
    assert tpot_s(OUTCOMES, OUTPUT) == pytest.approx([0.1, 1.0, 0.1, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("objectives", "kept"),
    [
        (Objectives(), [True, True, True, True, False]),
        (Objectives(ttft_s=2.0), [True, True, False, True, False]),
        (Objectives(tpot_s=0.5), [True, False, True, True, False]),
        (Objectives(e2e_s=3.0), [True, False, False, True, False]),
        (Objectives(ttft_s=2.0, tpot_s=0.5), [True, False, False, True, False]),
        (Objectives(ttft_s=1.0), [True, True, False, True, False]),
    ],
)
def test_every_objective_has_to_be_kept(objectives: Objectives, kept: list[bool]) -> None:
    assert objectives.kept(OUTCOMES, OUTPUT).tolist() == kept


@pytest.mark.parametrize("name", ["ttft_s", "tpot_s", "e2e_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_objective_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"{name} is"):
        Objectives(**{name: value})


@pytest.mark.parametrize("share", [0.0, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="share is"):
        Objectives(share=share)
