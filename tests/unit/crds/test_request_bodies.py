"""What is sent to the API server is read alike as JSON and as YAML, whatever is in it."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.request_bodies import request_body
from testbed.foreign_texts import foreign_texts

CHARACTERS = [chr(one) for one in range(0x3000)] + [*"\ud7ff\ue000\ufdd0\ufeff\ufffd\ufffe\uffff🚀\U0010ffff"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | foreign_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(foreign_texts, inner, max_size=3),
    max_leaves=8,
)


def test_an_emoji_goes_as_utf_8() -> None:
    assert request_body({"message": "model 🚀 failed"}) == '{"message": "model 🚀 failed"}'.encode()


def test_half_a_pair_is_replaced() -> None:
    assert request_body(["a\ud800b"]) == b'["a\xef\xbf\xbdb"]'


@pytest.mark.parametrize("start", range(0, len(CHARACTERS), 0x800))
def test_every_character_comes_back_from_both(start: int) -> None:
    sent = CHARACTERS[start : start + 0x800]
    assert json.loads(request_body(sent)) == sent
    assert yaml.load(request_body(sent), yaml.CSafeLoader) == sent


@given(values)
def test_any_value_can_be_sent(value: object) -> None:
    body = request_body(value)
    json.loads(body.decode("utf-8"))
    assert request_body(json.loads(body)) == body
