"""Which arguments of the engine are the operator's to set, in all the ways of writing them."""

import re

import pytest

from loadline_api.engine_options import BY_NAME, forms, option
from loadline_api.engines import FROM_FIELDS, FROM_OPERATOR, NEVER_SPLIT, ONE_ENTRY

OURS = re.compile(forms((*FROM_FIELDS, *FROM_OPERATOR)))


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


RESERVED = {*FROM_FIELDS, *FROM_OPERATOR}


def test_every_reserved_name_is_an_option_of_the_engine() -> None:
    assert {*RESERVED, *NEVER_SPLIT} <= BY_NAME.keys()


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--por=9000", "--port"),
        ("--tensor-parallel=4", "--tensor-parallel-size"),
        ("--tensor_parallel=4", "--tensor-parallel-size"),
        ("--served-model=x", "--served-model-name"),
        ("--kv-transfer={}", "--kv-transfer-config"),
        ("--kv-tr.kv_role=kv_both", "--kv-transfer-config"),
        ("--no-enable-expert", "--enable-expert-parallel"),
        ("--headl", "--headless"),
    ],
)
def test_an_option_cut_short_is_known(argument: str, meant: str) -> None:
    assert OURS.match(argument)
    assert meant in RESERVED


@pytest.mark.parametrize("argument", ["--model-impl=auto", "--data-parallel-size-local=1", "--config-format"])
def test_an_option_that_only_begins_like_one_of_ours_is_not(argument: str) -> None:
    assert not OURS.match(argument)


def test_what_the_rules_take_for_ours_is_what_the_engine_does() -> None:
    """Each option, and each beginning of it: reserved by the rule where the engine reads it so."""
    whole = [name for name in BY_NAME if name.startswith("--") and not name.startswith("--no-")]
    for form in {name[:end] for name in whole for end in range(3, len(name) + 1)}:
        found = option(form)
        meant = found is not None and found.name in RESERVED
        assert bool(OURS.match(f"{form}=x")) is meant, form


@pytest.mark.parametrize("argument", ["--port 9000", "--max-num-batched-tokens 8192", "--a b=c", "--a\t=1"])
def test_name_and_value_with_a_blank_between_are_no_argument(argument: str) -> None:
    assert not re.match(ONE_ENTRY.replace("[:space:]", r"\s"), argument)


@pytest.mark.parametrize("argument", ['--speculative-config={"a": "b=c"}', "--enforce-eager", "--x={\n}"])
def test_a_blank_in_a_value_is_none_of_our_business(argument: str) -> None:
    assert re.match(ONE_ENTRY.replace("[:space:]", r"\s"), argument)
