"""Whose a token is, by what the API server says of it."""

from typing import Any

import pytest

from loadline_agent.workers.refusals import ReportRefused
from loadline_agent.workers.token_reviews import TokenPod, expiry_s, pod_in
from loadline_api.names import TOKEN_NODE_NAME, TOKEN_POD_NAME, TOKEN_POD_UID
from testbed.doubles.worker_agents import POD, reviewed, token


def changed(**changes: Any) -> dict[str, Any]:
    return {**reviewed(POD), **changes}


def extra(**changes: Any) -> dict[str, Any]:
    """The status with other extras of the user."""
    user = reviewed(POD)["user"]
    return changed(user={**user, "extra": {**user["extra"], **changes}})


def test_the_api_server_names_the_pod_and_its_node() -> None:
    assert pod_in(reviewed(POD)) == TokenPod(namespace="prod", name="chat-main-0", uid="uid-0", node="node-0")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, "WrongToken"),
        (reviewed(None), "WrongToken"),
        (changed(authenticated="yes"), "WrongToken"),
        (changed(audiences=["https://kubernetes.default.svc"]), "WrongToken"),
        (changed(audiences=None), "WrongToken"),
        (changed(user=None), "NotAPod"),
        (changed(user={"username": "admin", "extra": None}), "NotAPod"),
        (extra(**{TOKEN_POD_NAME: []}), "NotAPod"),
        (extra(**{TOKEN_POD_UID: ["a", "b"]}), "NotAPod"),
        (extra(**{TOKEN_NODE_NAME: [7]}), "NotAPod"),
    ],
)
def test_what_is_no_pods_token_for_this_audience_is_refused(status: dict[str, Any], reason: str) -> None:
    with pytest.raises(ReportRefused) as refused:
        pod_in(status)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "text",
    ["", "opaque", "a.b", "a.!!.c", "a.bnVsbA.c", "a.W10.c", "a.eyJleHAiOiAieCJ9.c", "a." + "W" * 8000],
)
def test_a_token_that_does_not_tell_its_end_counts_as_ended(text: str) -> None:
    assert expiry_s(text) == 0.0


def test_a_token_tells_when_it_ends() -> None:
    assert expiry_s(token("pod", expires_s=1_800_000_000.0)) == 1_800_000_000.0
