"""What a part of an engine answers to a change, whatever it is sent."""

import json
from typing import Any

import pytest

from loadline_api.worker_messages import SettingsSection
from loadline_vllm import held_settings
from loadline_vllm.channel.settings_leases import NO_OP, Change

CHANGE = Change(7, {"kv": SettingsSection(policy="some", policy_hash="3f2a", settings={"strength": 1})})


class Worker:
    """In the place of vLLM's class of workers."""


@pytest.fixture
def worker() -> Any:
    class Fresh(Worker):
        pass

    held_settings.install(Fresh, held_settings.RANK_LOOPS)
    return Fresh()


def test_a_rank_holds_what_it_is_sent_and_says_which_generation(worker: Any) -> None:
    answer = worker.loadline_hold(held_settings.sent(CHANGE))
    assert held_settings.acknowledged([answer]) == [7]
    assert worker.loadline_held == {
        "kv": {"policy": "some", "policy_hash": "3f2a", "settings": {"strength": 1}}
    }
    assert held_settings.acknowledged([worker.loadline_hold(held_settings.sent(NO_OP))]) == [0]
    assert worker.loadline_held == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"generation": 1}', '{"generation": "x", "sections": {}}'])
def test_a_rank_never_raises(worker: Any, text: str) -> None:
    assert held_settings.acknowledged([worker.loadline_hold(text)]) == [None]


@pytest.mark.parametrize("answer", [None, 7, b"{}", "", "{}", "[]", '{"generation": "7"}', "null"])
def test_an_answer_that_says_nothing_is_no_acknowledgement(answer: object) -> None:
    assert held_settings.acknowledged([answer, json.dumps({"generation": 1, "shared": {}})]) == [None, 1]


def held(**shared: str) -> str:
    return json.dumps({"generation": 7, "shared": shared})


def test_ranks_that_differ_in_what_must_be_equal_have_taken_nothing() -> None:
    assert held_settings.acknowledged([held(a="1"), held(a="1", b="2"), held(b="2")]) == [7, 7, 7]
    assert held_settings.acknowledged([held(a="1"), held(a="1", b="2"), held(b="3")]) == [None, None, None]


def test_what_a_loop_shares_is_told_apart_from_what_another_shares(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looping(monkeypatch, Counting())
    answer = json.loads(worker.loadline_hold(held_settings.sent(CHANGE)))
    assert answer == {"generation": 7, "shared": {"kv/strength": "1"}}


def test_a_method_of_somebody_else_is_left_alone() -> None:
    class Theirs(Worker):
        def loadline_hold(self, text: str) -> str:
            return text

    with pytest.raises(ValueError, match="already has a method loadline_hold that isn't Loadline's"):
        held_settings.install(Theirs, {})
    assert not held_settings.is_installed(Theirs)


def test_a_second_installation_does_nothing() -> None:
    class Fresh(Worker):
        pass

    assert not held_settings.is_installed(Fresh)
    held_settings.install(Fresh, {})
    held_settings.install(Fresh, {})
    assert held_settings.is_installed(Fresh)


class Counting:
    """A loop that remembers what it holds."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.held: list[Any] = []
        self.refuses = refuses

    def hold(self, worker: Any, settings: Any) -> dict[str, str]:
        assert isinstance(worker, Worker)
        if self.refuses:
            raise ValueError("not these")
        self.held.append(settings)
        return {"strength": str(settings.get("strength"))}

    def counts(self, worker: Any) -> dict[str, Any]:
        assert isinstance(worker, Worker)
        if self.refuses:
            raise RuntimeError("no counts today")
        return {"seen": len(self.held)}


def looping(monkeypatch: pytest.MonkeyPatch, loop: Counting) -> Counting:
    monkeypatch.setitem(held_settings.RANK_LOOPS, "kv", held_settings.Loop(loop.hold, loop.counts))
    return loop


def test_a_loop_holds_its_section_and_none_without_one(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = looping(monkeypatch, Counting())
    for change in (CHANGE, NO_OP):
        worker.loadline_hold(held_settings.sent(change))
    assert loop.held == [{"strength": 1}, {}]
    answers = [worker.loadline_counts("kv"), None, "{}"]
    assert held_settings.counted(answers, "kv") == [{"seen": 2}]
    assert held_settings.counted(answers, "experts") == []


def test_a_change_that_a_loop_refuses_is_not_taken(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looping(monkeypatch, Counting(refuses=True))
    assert held_settings.acknowledged([worker.loadline_hold(held_settings.sent(CHANGE))]) == [None]
    assert not hasattr(worker, held_settings.HELD)
    assert held_settings.counted([worker.loadline_counts("kv")], "kv") == []


def test_only_the_loop_that_is_asked_for_counts(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting may wait for a device, so no loop counts because another one is read."""
    looping(monkeypatch, Counting())

    def counts(_: Any) -> dict[str, Any]:
        raise AssertionError("nobody asked for these")

    monkeypatch.setitem(held_settings.RANK_LOOPS, "experts", held_settings.Loop(lambda _, __: {}, counts))
    assert held_settings.counted([worker.loadline_counts("kv")], "kv") == [{"seen": 0}]
    assert held_settings.counted([worker.loadline_counts("none")], "none") == []
