"""
pytest fixtures: one bed for a session, a namespace of its own for each test.

To be named in `pytest_plugins`. The bed comes up with the first test that asks for it,
programs are built first where there are none. Tests that stop the API server or need
flags of their own make a `Bed` themselves; two run side by side without noticing.
"""

import itertools
from collections.abc import Iterator

import pytest

from hack.testenv.bed import Bed

_numbers = itertools.count(1)


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
