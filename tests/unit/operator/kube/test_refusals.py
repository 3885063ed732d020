"""One cause has one sentence, in whatever order the API server names it."""

import itertools
import json
from typing import Any

import pytest

from loadline_operator.kube.refusals import MISFIT, Misfits, sentence

HEAD = "failed to create typed patch object (shop/chat; apps/v1, Kind=Deployment)"
CONTAINER = '.spec.template.spec.containers[name="vllm"].env[name="A"].value: expected string'
OURS = '.spec.template.spec.initContainers[name="fetch-model"].env[name="A"].value: expected string'


def answer(message: str, *causes: tuple[str, str]) -> bytes:
    status: dict[str, Any] = {"kind": "Status", "message": message}
    if causes:
        status["details"] = {"causes": [{"field": field, "message": text} for field, text in causes]}
    return json.dumps(status).encode()


@pytest.mark.parametrize("causes", list(itertools.permutations([CONTAINER, OURS, OURS])))
def test_what_does_not_fit_is_told_in_one_order(causes: tuple[str, ...]) -> None:
    said = sentence(answer(f"{HEAD}: errors:\n" + "\n".join(f"  {one}" for one in causes)))
    assert said == f"{HEAD}: {CONTAINER}; {OURS}"
    assert MISFIT.match(said)


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_invalid_is_told_in_one_order(turned: bool) -> None:
    """By the list of causes: a sentence may have commas of its own."""
    one, other = ("spec.limits[a]", "Invalid value: x, y"), ("spec.limits[b]", "Required value")
    causes = (other, one) if turned else (one, other)
    whole = ", ".join(f"{field}: {text}" for field, text in causes)
    said = sentence(answer(f'Deployment.apps "chat" is invalid: [{whole}]', *causes))
    told = "spec.limits[a]: Invalid value: x, y; spec.limits[b]: Required value"
    assert said == f'Deployment.apps "chat" is invalid: {told}'


@pytest.mark.parametrize(
    "said",
    [
        "pods is forbidden: exceeded quota",
        f"{HEAD}: {CONTAINER}",
        'Deployment.apps "chat" is invalid: spec.replicas: Invalid value: -1',
    ],
)
def test_one_cause_is_told_in_the_servers_words(said: str) -> None:
    assert sentence(answer(said, ("spec.replicas", "Invalid value: -1"))) == said


@pytest.mark.parametrize("text", [b"upstream is away", b"[]", b'{"code": 500}', b"\xff"])
def test_what_is_no_status_is_told_as_it_is(text: bytes) -> None:
    assert sentence(text) == text.decode(errors="replace")


@pytest.mark.parametrize("details", [None, [], "x", {"causes": None}, {"causes": ["x"]}])
def test_odd_details_hide_no_sentence(details: object) -> None:
    status = {"message": "it is invalid: no", "details": details}
    assert sentence(json.dumps(status).encode()) == "it is invalid: no"


def test_of_several_unknown_fields_the_first_that_was_named_stays() -> None:
    misfits = Misfits()
    foo, bar = f"{HEAD}: .foo: field not declared", f"{HEAD}: .bar: field not declared"
    assert misfits.words("chat", {"foo": 1, "bar": 2}, foo) == foo
    assert misfits.words("chat", {"foo": 1, "bar": 2}, bar) == foo
    assert misfits.words("code", {"foo": 1, "bar": 2}, bar) == bar
    assert misfits.words("chat", {"bar": 2}, bar) == bar
    assert misfits.words("chat", {"bar": 2}, "exceeded quota") == "exceeded quota"
    misfits.forget("code")
    assert misfits.words("code", {"foo": 1, "bar": 2}, foo) == foo
