"""What a status of retention shows again, and that fields and rules are those of the engine's settings."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from loadline_api import generate, kv_retention, kv_retention_rules
from loadline_api.engine_options import BY_NAME
from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.kv_retention import KeptTokens, Retention
from loadline_api.kv_retention_rules import KV_RETENTION_RULES
from loadline_api.kv_retention_status import RetentionStatus
from loadline_policies.loops import Loop
from loadline_vllm.settings import Settings

SHOWN = RetentionStatus(
    engines=2,
    bounding_engines=2,
    budget_tokens=512,
    bounded_requests=100,
    folded_tokens=0,
    refused_spans=0,
    prefix_hit_percent=20,
    reason="MemoryShort",
    advice="set kvCache.dtype to fp8",
)


def changed(**figures: Any) -> RetentionStatus:
    return SHOWN.model_copy(update=figures)


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({}, False),
        ({"engines": 3}, True),
        ({"bounding_engines": 1}, True),
        ({"budget_tokens": 256}, True),
        ({"budget_tokens": None}, True),
        ({"reason": "EngineUnable"}, True),
        ({"advice": None}, True),
        ({"prefix_hit_percent": 29}, False),
        ({"prefix_hit_percent": 30}, True),
        ({"bounded_requests": 124}, False),
        ({"bounded_requests": 125}, True),
        ({"folded_tokens": 1}, True),
        ({"refused_spans": None}, True),
    ],
    ids=str,
)
def test_a_status_is_written_again_when_a_person_would_act_otherwise(
    change: dict[str, Any], news: bool
) -> None:
    now = changed(**change)
    assert now.is_news_to(SHOWN) is news
    assert now.as_moved_from(SHOWN) == (now if news else SHOWN)
    assert SHOWN.as_moved_from(None) is SHOWN


def test_only_what_a_person_acts_on_is_written_at_once() -> None:
    assert changed(folded_tokens=9000, prefix_hit_percent=90).acts_like(SHOWN)
    assert not changed(budget_tokens=256).acts_like(SHOWN)


def test_zero_is_written_and_what_is_unknown_is_left_out() -> None:
    told = changed(bounded_requests=None).to_api()
    assert told["foldedTokens"] == 0
    assert "boundedRequests" not in told
    assert RetentionStatus.model_validate(told) == changed(bounded_requests=None)


def test_a_part_that_says_nothing_asks_for_nothing() -> None:
    assert Retention().to_api() == {}
    assert InferenceServiceSpec.model_validate({"kvCache": {}}).retention == Retention()


def test_only_a_service_with_the_part_asks_for_the_loop() -> None:
    spec = InferenceServiceSpec.model_validate({"kvCache": {"policyRef": {"name": "a"}}})
    assert [*spec.loops] == [Loop.KV]
    spec = InferenceServiceSpec.model_validate({"kvCache": {"retention": {"policyRef": {"name": "b"}}}})
    named = {loop: policy.name if policy is not None else None for loop, policy in spec.loops.items()}
    assert named == {Loop.KV: None, Loop.KV_RETENTION: "b"}


def number(model: type[BaseModel], field: str) -> dict[str, Any]:
    """The schema of an integer of a model, which may be optional."""
    schema = model.model_json_schema(by_alias=False)["properties"][field]
    kinds: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return {**next(one for one in kinds if one.get("type") == "integer"), "default": schema.get("default")}


@pytest.mark.parametrize("part", ["budget", "most", "buffer", "sink", "recent", "protect"])
def test_bounds_and_defaults_are_within_the_engines(part: str) -> None:
    ours, engines = number(Retention, f"{part}_tokens"), number(Settings, f"retention_{part}_tokens")
    assert ours["minimum"] >= engines["minimum"]
    assert ours["maximum"] == engines["maximum"]
    assert ours["default"] in (None, engines["default"])


def test_every_excluding_argument_is_an_option_of_the_engine() -> None:
    names = {*kv_retention_rules.EXCLUDING, kv_retention.WORKER_OPTION, kv_retention_rules.BLOCK_OPTION}
    assert names <= BY_NAME.keys()


OF_THE_PART = generate.structural(Retention, defaults=True)["x-kubernetes-validations"]


@pytest.mark.parametrize("rule", [*OF_THE_PART, *KV_RETENTION_RULES], ids=lambda one: one["fieldPath"])
def test_every_sentence_names_a_field_and_its_placeholders_have_values(rule: dict[str, str]) -> None:
    text = rule.get("message") or rule["messageExpression"]
    assert "kvCache.retention" in text or "kvCache.dtype" in text
    assert "{field}" not in text
    if "messageExpression" in rule:
        sentence, _, values = text.partition("'.format([")
        assert sentence.count("'") == 1, "an apostrophe would end the sentence"
        assert len(re.findall("%[sd]", sentence)) == len(top_level(values.removesuffix("])")))


def top_level(values: str) -> list[str]:
    """The entries of a CEL list, apart from commas within brackets, parentheses and quotes."""
    found, depth, quoted = [""], 0, False
    for letter in values:
        quoted ^= letter == "'"
        depth += not quoted and (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and not quoted:
            found.append("")
        else:
            found[-1] += letter
    return found


@pytest.mark.parametrize("argument", ["--block-size=32", "--block_size=32", "--block-s=128"])
def test_a_block_size_is_read_however_it_is_written(argument: str) -> None:
    pattern = re.search(r"matches\('(\^--.*?)'\)", kv_retention_rules._SIZES)
    assert pattern is not None
    assert re.search(pattern[1], argument)
    assert not re.search(pattern[1], "--mamba-block-size=32")
    assert not re.search(pattern[1], "--block-size=0")


def test_the_policies_are_told_apart() -> None:
    assert len({one.value.lower() for one in KeptTokens}) == len(KeptTokens)
