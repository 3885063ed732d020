"""How an agent that can't go on ends: a line that says why, a traceback only for what nobody foresaw."""

import signal
from pathlib import Path

import pytest

from loadline_agent import agent_process
from loadline_agent.hardware.nvml import translated
from loadline_policies.errors import LoadlineError

MISMATCH = translated(18, uuid="the driver", doing="initialising NVML")


def ended_by(error: Exception, monkeypatch: pytest.MonkeyPatch, state_dir: Path) -> int:
    """The exit status of an agent whose tasks raise `error`."""

    class Ending:
        def __init__(self, _: object) -> None:
            pass

        async def run(self) -> None:
            raise error

    monkeypatch.setattr(agent_process, "AgentProcess", Ending)
    for whole_process in ("configure", "ask_for_descriptors", "ask_for_small_buffers"):
        monkeypatch.setattr(agent_process, whole_process, lambda *_: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return agent_process.main(["--node", "node-00", "--state-dir", str(state_dir)])


@pytest.mark.parametrize(
    "error",
    [MISMATCH, ExceptionGroup("tasks", [ExceptionGroup("tasks", [MISMATCH])])],
    ids=["at the start", "in its tasks"],
)
def test_a_driver_of_another_version_is_one_line_wherever_it_is_met(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_by(error, monkeypatch, tmp_path) == 1
    assert capsys.readouterr().err == f"error: {MISMATCH}\n"


def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    group = ExceptionGroup("tasks", [LoadlineError("known"), ValueError("a bug")])
    with pytest.raises(ExceptionGroup):
        ended_by(group, monkeypatch, tmp_path)
