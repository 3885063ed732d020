"""Answers of engines, of which nothing is believed."""

import pytest

from loadline_agent.canaries.model_answers import served_model
from loadline_policies.errors import InvalidInput


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data": []}', b'{"data": [{"id": 1}]}', b'{"data": [{"id": ""}]}']
)
def test_an_engine_that_names_no_model_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        served_model(body)


def test_the_first_model_is_asked() -> None:
    assert served_model(b'{"data": [{"id": "tiny"}, {"id": "lora"}]}') == "tiny"
