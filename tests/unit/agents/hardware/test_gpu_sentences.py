"""All GPUs that something is so of are named or counted, within the bound of a condition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.hardware.gpu_sentences import by_gpu
from loadline_api.conditions import MOST_MESSAGE_BYTES

UUIDS = tuple(f"GPU-{index:08x}-0000-0000-0000-000000000000" for index in range(16))


def test_a_sentence_is_said_once_for_all_its_gpus() -> None:
    told = by_gpu([("a", "off the bus"), ("b", "unread"), ("c", "off the bus")])
    assert told == "a, c: off the bus; b: unread"


def test_a_gpu_is_not_named_again_in_its_own_sentence() -> None:
    told = by_gpu((uuid, f"reading the power of {uuid}: NVML answered 999") for uuid in UUIDS)
    assert told == f"{', '.join(UUIDS)}: reading the power of the GPU: NVML answered 999"


@pytest.mark.parametrize(
    ("most_bytes", "told"),
    [(40, "G0: first; G1, G2: second; G3: third"), (27, "G0: first; and 3 more GPUs"), (6, "4 GPUs")],
)
def test_what_does_not_fit_is_counted(most_bytes: int, told: str) -> None:
    sentences = [("G0", "first"), ("G1", "second"), ("G2", "second"), ("G3", "third")]
    assert by_gpu(sentences, most_bytes=most_bytes) == told


def test_nothing_is_said_of_no_gpu() -> None:
    assert by_gpu([]) == ""


@given(st.lists(st.tuples(st.sampled_from(UUIDS), st.text(min_size=1, max_size=300)), max_size=16))
def test_any_text_fits_a_condition(sentences: list[tuple[str, str]]) -> None:
    assert len(by_gpu(sentences).encode(errors="replace")) <= MOST_MESSAGE_BYTES
