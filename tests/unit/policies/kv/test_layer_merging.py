"""What merging layers would save, by the paper's formula, and which layers are merged."""

import pytest

from loadline_policies.kv.layer_merging import merged_pairs, saving_ratio


@pytest.mark.parametrize(("width", "expected"), [(4096, 1.290), (1024, 1.289), (128, 1.284)])
def test_the_formula_of_the_paper(width: int, expected: float) -> None:
    """4h ÷ (3.1h + 2): less than the 1.53 that the paper reports."""
    assert saving_ratio(width) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(1, ()), (2, ((0, 1),)), (3, ((0, 1),)), (8, ((2, 3), (4, 5), (6, 7)))],
)
def test_pairs_begin_in_the_middle(layers: int, expected: tuple[tuple[int, int], ...]) -> None:
    assert merged_pairs(layers) == expected


@pytest.mark.parametrize("layers", range(1, 40))
def test_no_layer_is_in_two_pairs(layers: int) -> None:
    every = [layer for pair in merged_pairs(layers) for layer in pair]
    assert len(every) == len(set(every))
    assert set(every) <= set(range(layers))
