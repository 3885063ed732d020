"""The small model, read once. transformers warns while it loads one."""

import os
import random
import warnings
from pathlib import Path

import pytest

from loadline_vllm.kv_analyses.analysed_models import AnalysedModel

MODEL = Path(os.environ["LOADLINE_SMALL_MODEL"])


@pytest.fixture(scope="session")
def model() -> AnalysedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AnalysedModel(MODEL)


@pytest.fixture
def ids() -> tuple[int, ...]:
    """A sequence of 200 tokens."""
    drawn = random.Random(0)
    return tuple(drawn.randrange(5, 300) for _ in range(200))
