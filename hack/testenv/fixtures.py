"""
pytest fixtures: one bed for a session, a namespace of its own for each test.

To be named in `pytest_plugins`. A test that asks for the bed bears the mark `cluster`
by that alone. Programs that are missing are built once the tests are collected, outside
of any test's time limit; the bed comes up with the first test that asks for it. Tests
that stop the API server or need flags of their own make a `Bed` themselves; two run
side by side without noticing.
"""

import itertools
from collections.abc import Iterator

import pytest

from hack.testenv import binaries
from hack.testenv.bed import Bed
from hack.testenv.errors import BuildFailed

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a bed, before `-m` selects."""
    for item in items:
        if "bed" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing, and show it: it takes minutes, and happens once a machine."""
    wanted = any(item.get_closest_marker("cluster") for item in session.items)
    if session.config.option.collectonly or not wanted or not binaries.missing():
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            binaries.ensure()
        except BuildFailed as error:
            raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """The session's control plane, without nodes; a test adds those that it needs."""
    with Bed() as bed:
        yield bed


@pytest.fixture
def namespace(bed: Bed) -> Iterator[str]:
    """A namespace for one test; its ServiceAccount `default` is there, and all goes after the test."""
    name = f"test-{next(_numbers)}"
    bed.kubectl("create", "namespace", name)
    bed.kubectl("wait", "--for=create", "--timeout=20s", "--namespace", name, "serviceaccount/default")
    yield name
    bed.kubectl("delete", "namespace", name, "--wait=false")
