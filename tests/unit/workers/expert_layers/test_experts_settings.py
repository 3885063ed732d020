"""Settings as the agent sends them: those of no policy change nothing, bad ones are refused by name."""

import pytest
from pydantic import JsonValue

from loadline_policies.errors import InvalidInput
from loadline_vllm.expert_layers.experts_settings import ExpertsSettings


def test_no_settings_count_and_change_nothing() -> None:
    assert ExpertsSettings.read({}).mode == "observe"


def test_a_key_of_a_later_version_is_ignored() -> None:
    assert ExpertsSettings.read({"mode": "off", "later": [1]}) == ExpertsSettings(mode="off")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"mode": "on"}, "experts.mode"),
        ({"mode": 1}, "experts.mode"),
        ({"gamma_thousandths": 99}, "experts.gamma_thousandths"),
        ({"gamma_thousandths": 1.5}, "experts.gamma_thousandths"),
        ({"strategy": "expanded"}, "experts.strategy"),
        ({"metric": "luck"}, "experts.metric"),
        ({"rounds": 9}, "experts.rounds"),
        ({"min_tokens": 0}, "experts.min_tokens"),
        ({"min_tokens": 2**21}, "experts.min_tokens"),
        ({"min_tokens": "many"}, "experts.min_tokens"),
    ],
    ids=str,
)
def test_a_setting_that_can_not_be_is_refused_by_name(settings: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        ExpertsSettings.read(settings)


ENFORCED = ExpertsSettings(mode="enforce", gamma_thousandths=1500)


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        (ExpertsSettings(), ExpertsSettings(mode="off"), True),
        (ExpertsSettings(), ExpertsSettings(mode="enforce"), True),
        (ENFORCED, ENFORCED, True),
        (ExpertsSettings(), ENFORCED, False),
        (ENFORCED, ExpertsSettings(), False),
        (ENFORCED, ENFORCED.model_copy(update={"gamma_thousandths": 1250}), False),
        (ENFORCED, ENFORCED.model_copy(update={"min_tokens": 512}), False),
    ],
)
def test_what_a_prefix_cache_holds_is_good_only_for_settings_that_answer_alike(
    before: ExpertsSettings, after: ExpertsSettings, alike: bool
) -> None:
    assert after.answers_like(before) is alike
