"""Which arguments of the engine are the operator's to set, in all the ways of writing them."""

import re

import pytest

from loadline_api.engines import FROM_FIELDS, FROM_OPERATOR, NEVER_SPLIT, written

OURS = re.compile(written((*FROM_FIELDS, *FROM_OPERATOR)))


@pytest.mark.parametrize("name", [*FROM_FIELDS, *FROM_OPERATOR])
def test_an_argument_of_ours_is_known_however_it_is_written(name: str) -> None:
    bare = name.removeprefix("--")
    for form in (name, f"{name}=x", f"{name}.key=x", f"--no-{bare}", f"--{bare.replace('-', '_')}=x"):
        assert OURS.match(form), form


@pytest.mark.parametrize(
    "argument", ["--seed=1", "--models=x", "--port-range=1", "--hosts", "--model_x", "--no"]
)
def test_others_are_not_taken_for_ours(argument: str) -> None:
    assert not OURS.match(argument)


def test_the_lists_share_no_argument() -> None:
    names = [*FROM_FIELDS, *FROM_OPERATOR, *NEVER_SPLIT]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("--[a-z]+(-[a-z]+)*", name) for name in names)
