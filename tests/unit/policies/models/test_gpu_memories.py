"""The table of GPUs: each rate has a source, and the measured one is below what its vendor states."""

import pytest
from pydantic import ValidationError

from loadline_policies.models import gpu_memories


def test_the_measured_rate_is_below_the_stated_one() -> None:
    rates = {one.name: one.bytes_per_s for one in gpu_memories.load()}
    assert rates["H200 SXM"] == 4.8e12
    assert 0.8 < rates["H200, measured"] / rates["H200 SXM"] < 1.0


def test_each_gpu_says_where_its_rate_comes_from() -> None:
    gpus = gpu_memories.load()
    assert all("unverified" in one.source for one in gpus[:-1])
    assert "profile" in gpus[-1].source
    assert len({one.name for one in gpus}) == len(gpus)


@pytest.mark.parametrize(
    "text",
    [
        "gpus: [{name: A, terabytes_per_s: 1}]",
        "source: x\ngpus: []",
        "source: x\ngpus: [{name: A, terabytes_per_s: 0}]",
        "source: x\ngpus: [{name: A, terabytes_per_s: 1, watts: 3}]",
    ],
)
def test_a_table_without_a_source_or_with_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        gpu_memories.parse(text)
