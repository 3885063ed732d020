"""Columns are found by name, and a user's names are taken as they are written."""

import pytest

from loadline_policies.errors import InvalidInput, InvalidTrace
from loadline_sim.traffic import layouts


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_each_layout_is_found_by_its_columns_among_others(layout: layouts.Layout) -> None:
    assert layouts.layout_of(["other", *reversed(layout.needed)], "here") is layout


def test_a_users_columns_and_unit() -> None:
    layout = layouts.parsed("arrival=sent at, prompt=in,output=out,unit=ms")
    assert layout.needed == ("sent at", "in", "out")
    assert layout.unit_s == 1e-3


def test_a_column_of_priorities_may_be_named_and_must_then_be_there() -> None:
    layout = layouts.parsed("arrival=t,priority=class")
    layouts.check_columns(layout, ["t", "prompt_tokens", "output_tokens", "class"], "here")
    with pytest.raises(InvalidTrace, match="there is no column class"):
        layouts.check_columns(layout, ["t", "prompt_tokens", "output_tokens"], "here")


def test_what_is_not_named_keeps_its_own_name() -> None:
    assert layouts.parsed("arrival=t").needed == ("t", "prompt_tokens", "output_tokens")


@pytest.mark.parametrize("text", ["", "arrival", "arrival=", "when=t", "unit=h", "arrival=t;prompt=p,,"])
def test_what_names_no_columns_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(InvalidInput, match="write arrival=NAME,prompt=NAME,output=NAME"):
        layouts.parsed(text)
