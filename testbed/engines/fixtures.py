"""
pytest fixtures: the engine's environment, the small model, and engines as processes.

To be named in `pytest_plugins`. A test that asks for one bears the mark `engine` by that
alone. What is missing is made once the tests are collected, outside of any test's time
limit, and shown, since it takes minutes; nothing is ever skipped for want of it.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster.errors import BuildFailed
from testbed.engines import models, venvs
from testbed.engines.processes import Engines

FIXTURES = {"engine_venv", "engines", "plugins"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real engine, before `-m` selects."""
    for item in items:
        if FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the engine's environment if somebody needs it and it isn't there."""
    wanted = any(item.get_closest_marker("engine") for item in session.items)
    if session.config.option.collectonly or not wanted or not venvs.missing():
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            venvs.ensure()
        except BuildFailed as error:
            raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def engine_venv() -> venvs.Venv:
    """The environment with vLLM, NIXL and the router."""
    return venvs.ensure()


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The directory of the small model."""
    return models.ensure()


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with this tree's wheel, unpacked: engines find the plugin in it, without its extras."""
    wheels, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("plugins")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    subprocess.run(build, cwd=venvs.ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    done = venvs.uv(
        "pip", "install", "--quiet", "--offline", "--no-deps", "--target", str(target), str(wheel)
    )
    assert done.returncode == 0, done.stderr
    target.chmod(0o755)  # in a pod it is read by another user
    return target


@pytest.fixture
def engines(engine_venv: venvs.Venv, tiny_model: Path) -> Iterator[Engines]:
    """Engines for one test; all processes end with it."""
    with Engines(engine_venv, tiny_model) as engines:
        yield engines
