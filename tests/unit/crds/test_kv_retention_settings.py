"""Three answers of an agent on retention are different, and what can't be a budget is refused by its name."""

import pytest
from pydantic import JsonValue

from loadline_api.kv_retention_settings import RetentionSettings
from loadline_policies.errors import InvalidInput


@pytest.mark.parametrize("sent", [{}, {"later": 1}], ids=str)
def test_without_a_number_of_kept_tokens_the_engine_does_as_it_was_started_to(
    sent: dict[str, JsonValue],
) -> None:
    assert RetentionSettings.read(sent) is None


def test_null_keeps_all_tokens() -> None:
    assert RetentionSettings.read({"kept_tokens": None, "later": 1}) == RetentionSettings(kept_tokens=None)


@pytest.mark.parametrize("kept", [None, 1, 2048, 10_000_000])
def test_what_the_plugin_reads_is_what_the_agent_writes(kept: int | None) -> None:
    sent = RetentionSettings(kept_tokens=kept)
    assert RetentionSettings.read(sent.encode()) == sent


@pytest.mark.parametrize("kept", [0, -32, 10_000_001, True, 2048.0, "2048", [2048]], ids=str)
def test_what_can_not_be_a_budget_is_refused_by_its_name(kept: JsonValue) -> None:
    with pytest.raises(InvalidInput, match=r"kv-retention\.kept_tokens"):
        RetentionSettings.read({"kept_tokens": kept})
