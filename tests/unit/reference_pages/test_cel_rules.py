"""A rule is shown as the sentence that its user would get."""

import pytest

from reference_pages import cel_rules


def schema(*rules: dict[str, str]) -> dict[str, object]:
    return {"type": "string", "x-kubernetes-validations": [*rules]}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"message": "give one of both"}, "give one of both"),
        ({"messageExpression": "'min is %d, above %s'.format([self.min, 'max'])"}, "min is …, above …"),
        ({"messageExpression": "'%s: write \"25%%\"'.format([self])"}, '…: write "25%"'),
    ],
)
def test_values_are_left_open(rule: dict[str, str], sentence: str) -> None:
    assert cel_rules.sentence(rule) == sentence


def test_an_expression_that_is_no_sentence_stops_the_page() -> None:
    with pytest.raises(ValueError, match="no sentence can be read from self"):
        cel_rules.sentence({"messageExpression": "self"})


def test_a_rule_that_several_fields_have_stands_once() -> None:
    name = schema({"rule": "self != ''", "message": "give a name"})
    (rule,) = cel_rules.rules(
        {"type": "object", "properties": {"a": name, "b": {"type": "array", "items": name}}}
    )
    assert rule.paths == ("a", "b[]")


def test_the_field_that_the_api_server_names_is_shown() -> None:
    (rule,) = cel_rules.rules(
        {
            "type": "object",
            "x-kubernetes-validations": [{"rule": "true", "message": "no", "fieldPath": ".spec.slo"}],
        }
    )
    assert rule.paths == ("spec.slo",)


def test_a_rule_of_the_whole_object_says_so() -> None:
    (rule,) = cel_rules.rules(
        {"type": "object", "x-kubernetes-validations": [{"rule": "true", "message": "no"}]}
    )
    assert rule.paths == ("the object",)


def test_a_rule_that_looks_back_concerns_updates_only() -> None:
    (rule,) = cel_rules.rules(schema({"rule": "self == oldSelf", "message": "it stays"}))
    assert rule.is_for_updates
