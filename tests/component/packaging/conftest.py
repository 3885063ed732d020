"""The wheel, built once and installed without extras into an environment of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[3]
BASE = ROOT / "requirements" / "base.txt"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel, the pinned base and nothing else."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    uv = find_uv_bin()
    run(uv, "venv", "--quiet", "--python", sys.executable, environment)
    install = (uv, "pip", "install", "--quiet", "--python", environment)
    try:
        run(*install, "--offline", "--require-hashes", "--requirement", BASE)
    except AssertionError:  # not in uv's cache, as after `uv cache clean`
        run(*install, "--require-hashes", "--requirement", BASE)
    run(*install, "--offline", "--no-deps", wheel)
    return environment / "bin"
