"""The list of mutants is of the code as it is: each old line is there once, and the new one differs."""

import pytest

from benchmarks.mutants import LEAST, MUTANTS, ROOT, Mutant


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= LEAST


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_changes_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
