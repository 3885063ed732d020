"""Settings as the agent sends them: those of no policy change nothing, bad ones are refused by name."""

import pytest
from pydantic import JsonValue

from loadline_api.expert_settings import ExpertsSettings
from loadline_policies.errors import InvalidInput


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
        ({"strategy": "shrunk"}, "experts.strategy"),
        ({"metric": "luck"}, "experts.metric"),
        ({"rounds": 9}, "experts.rounds"),
        ({"min_tokens": 0}, "experts.min_tokens"),
        ({"min_tokens": 2**21}, "experts.min_tokens"),
        ({"min_tokens": "many"}, "experts.min_tokens"),
        ({"classes": {"image": -1.0}}, "experts.classes"),
        ({"classes": "image"}, "experts.classes"),
    ],
    ids=str,
)
def test_a_setting_that_can_not_be_is_refused_by_name(settings: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        ExpertsSettings.read(settings)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("image", "leave out `image`: vLLM 0.32 doesn't pass to a router which tokens are of images"),
        ("priority", "leave out `priority`: vLLM 0.32 doesn't send the priority of a request to the ranks"),
        ("luck", "leave out `luck`: there is no such class of tokens"),
    ],
)
def test_a_class_that_no_engine_can_know_is_refused_with_the_reason(name: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ExpertsSettings.read({"classes": {name: -1.0}})
    assert refused.value.fix == fix


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (ExpertsSettings(), {}),
        (
            ExpertsSettings(mode="enforce", gamma_thousandths=1500, strategy="threshold"),
            {"mode": "enforce", "gamma_thousandths": 1500, "strategy": "threshold"},
        ),
    ],
)
def test_what_the_plugin_reads_is_what_the_agent_writes(
    settings: ExpertsSettings, sent: dict[str, JsonValue]
) -> None:
    assert settings.encode() == sent
    assert ExpertsSettings.read(sent) == settings


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
