"""The document of an analysis: every choice with its bytes, and no figure that wasn't measured."""

import pytest

from loadline_policies.kv.analyses import BATCHES
from loadline_policies.kv.analysis_results import Analysis, Choice
from loadline_policies.kv.kv_formats import FORMATS
from testbed import small_analyses
from testbed.small_analyses import CONTEXT_TOKENS


@pytest.fixture(scope="module")
def found() -> Analysis:
    return small_analyses.analysis()


def choice(found: Analysis, name: str) -> Choice:
    (one,) = (one for one in found.choices if one.name == name)
    return one


def test_every_type_and_policy_is_a_choice(found: Analysis) -> None:
    assert [one.name for one in found.choices] == [
        *(one.name for one in FORMATS),
        "offload",
        "retention, streaming",
        "retention, streaming × int4_per_token_head",
        "merged layers",
    ]


def test_a_type_s_request_has_its_tokens_bytes(found: Analysis) -> None:
    assert choice(found, "auto").request_bytes == CONTEXT_TOKENS * 131_072
    assert choice(found, "fp8").request_bytes == CONTEXT_TOKENS * 65_536


def test_under_retention_a_request_holds_what_folds_leave(found: Analysis) -> None:
    folds = (CONTEXT_TOKENS - 1024) // 256
    held = CONTEXT_TOKENS - folds * 256
    assert held < 1024 + 256
    assert choice(found, "retention, streaming").request_bytes == held * 131_072
    both = choice(found, "retention, streaming × int4_per_token_head")
    assert both.request_bytes == held * 32 * 8 * 136
    assert both.served_by == "nobody"


def test_what_was_not_measured_has_no_drift(found: Analysis) -> None:
    measured = {one.name for one in found.choices if one.drift is not None}
    assert measured == {"auto", "fp8", "retention, streaming", "retention, streaming × int4_per_token_head"}
    assert [one.name for one in found.choices if one.exact] == ["auto", "offload"]


def test_merging_is_of_the_pairs_from_the_middle_on(found: Analysis) -> None:
    later = range(15, 32, 2)
    assert found.merging.keys_cosine == pytest.approx(sum(later) / len(later) / 100)
    assert found.merging.formula_ratio < found.merging.paper_ratio
    assert not found.merging.served


def test_each_gpu_has_a_step_for_each_batch(found: Analysis) -> None:
    assert len(found.steps) == len({one.gpu for one in found.steps}) * len(BATCHES)
    assert sorted({one.context_tokens for one in found.step_reads}) == [1024, 4096, 16_384, CONTEXT_TOKENS]


def test_the_document_is_read_back_as_it_was(found: Analysis) -> None:
    assert Analysis.model_validate_json(found.model_dump_json()) == found
