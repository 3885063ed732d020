"""Whoever waits is patient as long as something moves, and says at the end what it saw and what to do."""

from collections.abc import Callable
from typing import Any

import pytest

from testbed.cluster.waits import GaveUp, eventually, states_of, wait_for


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def after(time: Time, seconds: float) -> Callable[[], str | None]:
    """Gives something once so many seconds have passed."""
    due_s = time.now_s + seconds
    return lambda: "here" if time.now_s >= due_s else None


def test_what_comes_in_time_is_given(time: Time) -> None:
    found = wait_for(after(time, 5.0), "it", standstill_s=10.0, clock=time.clock, sleep=time.sleep)
    assert found == "here"
    assert time.now_s == pytest.approx(105.0, abs=0.2)


def test_without_progress_the_patience_ends_and_says_what_was_waited_for(time: Time) -> None:
    with pytest.raises(GaveUp, match="every node is armed: gave up after 10"):
        wait_for(
            after(time, 60.0), "every node is armed", standstill_s=10.0, clock=time.clock, sleep=time.sleep
        )


def test_each_move_begins_the_patience_anew_and_is_shown_once(time: Time) -> None:
    shown: list[str] = []
    found = wait_for(
        after(time, 45.0),
        "the engine",
        standstill_s=10.0,
        seen=lambda: f"step {int(time.now_s - 100.0) // 8 + 1} of 6",
        show=shown.append,
        clock=time.clock,
        sleep=time.sleep,
    )
    assert found == "here"
    assert shown == [f"step {number} of 6" for number in range(1, 7)]


def test_who_moves_without_end_is_given_up_all_the_same(time: Time) -> None:
    with pytest.raises(GaveUp):
        wait_for(
            after(time, 900.0), "it", standstill_s=10.0, most_s=60.0, seen=lambda: f"{time.now_s}",
            clock=time.clock, sleep=time.sleep,
        )  # fmt: skip
    assert time.now_s == pytest.approx(160.0, abs=1.0)


def test_a_look_at_what_moves_is_taken_once_a_second(time: Time) -> None:
    looks: list[float] = []

    def seen() -> str:
        looks.append(time.now_s)
        return "0 of 1 replicas are ready"

    wait_for(after(time, 8.0), "it", standstill_s=10.0, seen=seen, clock=time.clock, sleep=time.sleep)
    assert 8 <= len(looks) <= 9


def test_who_gives_up_says_what_was_seen_last_and_why(time: Time) -> None:
    with pytest.raises(GaveUp) as error:
        wait_for(
            after(time, 60.0), "serving/chat: Ready=True", standstill_s=10.0,
            seen=lambda: "0 of 1 replicas are ready", why=lambda: "pod chat-0: CUDA out of memory",
            clock=time.clock, sleep=time.sleep,
        )  # fmt: skip
    assert str(error.value).splitlines() == [
        "serving/chat: Ready=True: gave up after 10.1 s, the last 10.1 s of them without progress",
        "last state: 0 of 1 replicas are ready",
        "pod chat-0: CUDA out of memory",
    ]


def test_the_state_of_pods_names_each_container_that_is_not_ready() -> None:
    waiting = {"name": "engine", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    fetched = {"name": "fetch", "ready": True, "state": {"terminated": {"reason": "Completed"}}}
    starting = {"name": "engine", "ready": False, "state": {"running": {"startedAt": "now"}}}
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": "new"}},
        {"metadata": {"name": "bound"}, "status": {"phase": "Pending", "containerStatuses": [waiting]}},
        {
            "metadata": {"name": "begun"},
            "status": {
                "phase": "Running",
                "initContainerStatuses": [fetched],
                "containerStatuses": [starting, {"name": "other", "ready": False}],
            },
        },
    ]
    assert states_of(pods) == (
        "new not yet seen by the scheduler; bound Pending (engine ContainerCreating); "
        "begun Running (fetch ready, engine running, other unknown)"
    )
    assert states_of([]) == "no pods"


def test_what_was_so_at_one_look_was_so(time: Time) -> None:
    looks = iter([False, False, True, False])
    assert eventually(lambda: next(looks), 10.0, clock=time.clock, sleep=time.sleep)
    assert not next(looks), "nobody looked again"


def test_what_never_is_so_is_not_waited_for_longer_than_said(time: Time) -> None:
    assert not eventually(lambda: False, 10.0, clock=time.clock, sleep=time.sleep)
    assert time.now_s == pytest.approx(110.0, abs=0.1)
