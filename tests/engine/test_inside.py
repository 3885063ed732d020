"""The tests that need torch pass in the engine's interpreter, a folder at a time; their output is shown.

Each process imports torch, most of them vLLM too. Files that start an engine of their own get one each.
"""

import os
import subprocess
from pathlib import Path

import pytest

from testbed.engines import expert_models
from testbed.engines import models as small_models
from testbed.engines.venvs import Venv

INSIDE = Path(__file__).parents[1] / "inside_engine"
FILES = sorted(path.relative_to(INSIDE) for path in INSIDE.rglob("test_*.py"))
ENGINES = Path("with_vllm")
RUNS = sorted({(file if file.parent == ENGINES else file.parent).as_posix() for file in FILES})

KEPT = {"PATH", "HOME", "HYPOTHESIS_PROFILE", "LOADLINE_CAPACITY_AWARE_MOE"}
"""Variables that are passed on; PYTHONPATH isn't, since it may name packages of this interpreter."""


def test_there_are_files() -> None:
    assert len(RUNS) > 4
    assert [file for file in FILES if not any(file.is_relative_to(run) for run in RUNS)] == []


@pytest.fixture(scope="module")
def models() -> Path:
    """The directory of the small models of experts, each in one of its name."""
    (directory,) = {expert_models.ensure(name).parent for name in expert_models.ARCHITECTURES}
    return directory


@pytest.mark.timeout(1200)  # Mixtral is compiled; on a busy machine that takes minutes
@pytest.mark.parametrize("run", RUNS)
def test_inside(engine_venv: Venv, models: Path, run: str) -> None:
    command = (engine_venv.python, "-m", "pytest", "--quiet", "--no-header", "-c", INSIDE / "pytest.ini")
    done = subprocess.run(
        [*command, "--confcutdir", INSIDE, INSIDE / run],
        env={
            **{name: value for name, value in os.environ.items() if name in KEPT},
            "LOADLINE_EXPERT_MODELS": str(models),
            "LOADLINE_SMALL_MODEL": str(small_models.ensure()),
        },
        cwd=INSIDE,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout + done.stderr)
    assert done.returncode == 0
