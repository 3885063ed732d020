"""Somebody hears of what can't be used, once, and not without a bound."""

from structlog.testing import capture_logs

from loadline_agent.problem_logs import MOST, ProblemLog


def test_a_problem_is_written_when_it_begins_and_when_it_comes_back() -> None:
    now: list[str] = []
    told = ProblemLog(lambda: now)
    with capture_logs() as lines:
        for problems in ([], ["a"], ["a"], ["a", "b"], ["b"], ["a", "b"]):
            now[:] = problems
            told.look()
    assert [one["problem"] for one in lines] == ["a", "b", "a"]


def test_many_at_a_time_are_counted() -> None:
    told = ProblemLog(lambda: [f"node-{index}: certificate is …" for index in range(2000)])
    with capture_logs() as lines:
        told.look()
        told.look()
    assert len(lines) == MOST + 1
    assert lines[-1]["problems"] == 2000 - MOST
