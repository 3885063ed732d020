"""The tests that need torch pass in the engine's interpreter, a file at a time; their output is shown."""

import os
import subprocess
from pathlib import Path

import pytest

from testbed.engines.venvs import Venv

INSIDE = Path(__file__).parents[1] / "inside_engine"
FILES = sorted(path.relative_to(INSIDE).as_posix() for path in INSIDE.rglob("test_*.py"))

KEPT = {"PATH", "HOME", "HYPOTHESIS_PROFILE", "LOADLINE_CAPACITY_AWARE_MOE"}
"""Variables that are passed on; PYTHONPATH isn't, since it may name packages of this interpreter."""


def test_there_are_files() -> None:
    assert FILES


@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", FILES)
def test_file(engine_venv: Venv, file: str) -> None:
    command = (engine_venv.python, "-m", "pytest", "--quiet", "--no-header", "-c", INSIDE / "pytest.ini")
    done = subprocess.run(
        [*command, "--confcutdir", INSIDE, INSIDE / file],
        env={name: value for name, value in os.environ.items() if name in KEPT},
        cwd=INSIDE,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout + done.stderr)
    assert done.returncode == 0
