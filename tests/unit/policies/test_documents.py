"""What a power document says besides its policy's settings."""

import pytest

from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.errors import InvalidPolicy

TEXT = f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"


def test_relief_is_on_unless_a_document_says_otherwise() -> None:
    assert parse_power(TEXT).slo_relief
    assert parse_power(TEXT + "sloRelief: true\n").slo_relief
    assert not parse_power(TEXT + "sloRelief: false\n").slo_relief


def test_relief_is_part_of_what_a_document_means() -> None:
    assert parse_power(TEXT).hash == parse_power(TEXT + "sloRelief: true\n").hash
    assert parse_power(TEXT).hash != parse_power(TEXT + "sloRelief: false\n").hash


@pytest.mark.parametrize("value", ["1", "maybe", "[]", "null"])
def test_relief_is_either_on_or_off(value: str) -> None:
    with pytest.raises(InvalidPolicy, match="give true or false"):
        parse_power(TEXT + f"sloRelief: {value}\n")
