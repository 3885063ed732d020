"""That at most one agent uses a state directory."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadline_agent.locks import exclusive
from loadline_policies.errors import InvalidInput

HOLDER = """
import sys, time
from pathlib import Path
from loadline_agent.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(directory: Path, seconds: float) -> "subprocess.Popen[str]":
    command = (sys.executable, "-c", HOLDER, str(directory), str(seconds))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    with holder(tmp_path, 60.0) as process:
        with pytest.raises(InvalidInput, match="an agent runs with it"), exclusive(tmp_path):
            pass
        process.kill()


def test_a_successor_waits_for_its_predecessor_to_end(tmp_path: Path) -> None:
    with holder(tmp_path, 0.3) as process, exclusive(tmp_path, patience_s=30.0):
        assert process.wait(5.0) == 0


def test_a_successors_patience_ends(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with holder(tmp_path, 60.0) as process:
        with pytest.raises(InvalidInput), exclusive(tmp_path, patience_s=0.3):
            pass
        process.kill()
    assert time.monotonic() - began_s >= 0.3
