"""What documents say besides their policy's settings, and what is refused in them."""

import pytest

from loadline_policies.documents import SCHEMA, ServiceDocument, built_in, parse, parse_power
from loadline_policies.errors import InvalidPolicy
from loadline_policies.loops import OF_SERVICES, Loop
from testbed.hostile_documents import KNOWN, generated

TEXT = f"schema: {SCHEMA}\nloop: power\npolicy: polca\n"
KV = f"schema: {SCHEMA}\nloop: kv\npolicy: keep-all\n"


def test_relief_is_on_unless_a_document_says_otherwise() -> None:
    assert parse_power(TEXT).slo_relief
    assert parse_power(TEXT + "sloRelief: true\n").slo_relief
    assert not parse_power(TEXT + "sloRelief: false\n").slo_relief


def test_relief_is_part_of_what_a_document_means() -> None:
    assert parse_power(TEXT).hash == parse_power(TEXT + "sloRelief: true\n").hash
    assert parse_power(TEXT).hash != parse_power(TEXT + "sloRelief: false\n").hash


@pytest.mark.parametrize("value", ["1", "maybe", "[]", "null"])
def test_relief_is_either_on_or_off(value: str) -> None:
    with pytest.raises(InvalidPolicy, match="set it to true or false"):
        parse_power(TEXT + f"sloRelief: {value}\n")


@pytest.mark.parametrize("loop", OF_SERVICES)
def test_what_is_built_in_can_be_written_down(loop: Loop) -> None:
    text = f"schema: {SCHEMA}\nloop: {loop}\npolicy: {built_in(loop).policy.name}\n"
    assert parse(text, loop) == built_in(loop)


def test_the_same_policy_of_two_loops_would_be_told_apart_by_its_hash() -> None:
    assert len({built_in(loop).hash for loop in OF_SERVICES}) == len(OF_SERVICES)


def test_a_loops_own_keys_are_unknown_to_the_others() -> None:
    with pytest.raises(InvalidPolicy, match="sloRelief is true: remove it"):
        parse(KV + "sloRelief: true\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (KV.replace("kv", "kvs"), r"loop is 'kvs': .* power, experts, kv, kv-retention, phases, sizing"),
        (KV.replace("loop: kv\n", ""), r"loop is null: set it to one of"),
        (KV.replace("keep-all", "polca"), r"policy is 'polca': use one of keep-all"),
        (KV + "settings: {most: 1}\n", r"settings.most is 1: remove it: this policy has no settings"),
        (KV + "settings: [1]\n", r"settings is \[1\]: write a mapping"),
        (KV + "1: 2\n", "1 is 2: remove it"),
        (KV.replace("v1alpha1", "v9"), r"schema is .*: set it to"),
    ],
)
def test_a_fault_is_told_with_field_value_and_fix(text: str, told: str) -> None:
    with pytest.raises(InvalidPolicy, match=told):
        parse(text)


@pytest.mark.parametrize("name", KNOWN)
def test_a_hostile_document_is_refused_in_a_short_sentence(name: str) -> None:
    """Each of these, or one of its kind, made who read it hang, swell or die."""
    with pytest.raises(InvalidPolicy) as refused:
        parse(KNOWN[name])
    assert len(str(refused.value).encode(errors="replace")) <= 1000


@pytest.mark.parametrize("seed", range(300))
def test_a_document_at_random_is_read_or_refused(seed: int) -> None:
    try:
        parse(generated(seed))
    except InvalidPolicy as error:
        assert len(str(error).encode(errors="replace")) <= 1000


def test_a_document_of_another_loop_than_told_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="loop is 'power': set it to `kv`"):
        parse(TEXT, Loop.KV)
    assert isinstance(parse(KV, Loop.KV), ServiceDocument)
