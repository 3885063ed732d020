"""
pytest fixtures: one bed of each depth for a session, a namespace of its own for each test.

To be named in `pytest_plugins`. A test that asks for `bed` bears the mark `cluster` by
that alone, one that asks for `node_bed`, on which pods really run, the mark `node`.
Where no node can run, those are skipped, and the end of the run says so. Programs that
are missing are built once the tests are collected, outside of any test's time limit;
a bed comes up with the first test that asks for it. Tests that stop the API server or
need flags of their own make a bed themselves; two run side by side without noticing.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster import binaries, debian
from testbed.cluster.bed import Bed
from testbed.cluster.errors import BuildFailed
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.processes import Household, kept_logs

_numbers = itertools.count(1)

KEPT_LOGS = "loadline_kept_logs"
"""Under which name a process that runs tests for another one lists them."""


NEEDS_A_NODE = pytest.StashKey[str]()
"""Why tests were skipped that need a real node."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a bed, before `-m` selects."""
    for item in items:
        wanted = getattr(item, "fixturenames", ())
        if "bed" in wanted:
            item.add_marker(pytest.mark.cluster)
        if "node_bed" in wanted:
            item.add_marker(pytest.mark.node)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing, and show it: it takes minutes, and happens once a machine."""
    missing = binaries.missing(_programs(session))
    if session.config.option.collectonly or not missing:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            binaries.need(*missing)
        except BuildFailed as error:
            raise pytest.UsageError(str(error)) from error


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a real node where none can be."""
    if item.get_closest_marker("node") and (why := debian.obstacle()):
        item.config.stash[NEEDS_A_NODE] = why
        pytest.skip(why)


def pytest_exception_interact() -> None:
    """Keep the logs of the beds that are up while a test fails: a bed of a session can't know that itself."""
    Household.keep_all_logs()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that has the terminal which logs were kept in this one, if another one has it."""
    told: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told[KEPT_LOGS] = [str(logs) for logs in kept_logs]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what such a process has told."""
    told: dict[str, list[str]] = getattr(node, "workeroutput", {})
    kept_logs.extend(Path(logs) for logs in told.get(KEPT_LOGS, ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which logs of failed tests were kept and what was not tested, after everything else."""
    for logs in kept_logs:
        terminalreporter.line(f"The logs of a bed on which a test failed are kept in {logs}.")
    if (why := config.stash.get(NEEDS_A_NODE, None)) is not None:
        terminalreporter.section("no pod ran", sep="!", yellow=True)
        terminalreporter.line(f"Tests on a real node were skipped. {why[0].upper()}{why[1:]}.")


def _programs(session: pytest.Session) -> tuple[str, ...]:
    """What the session's tests need."""
    marks = {name for item in session.items for name in ("cluster", "node") if item.get_closest_marker(name)}
    real = "node" in marks and debian.obstacle() is None
    return (*(binaries.NAMES if marks else ()), *(binaries.NODE_NAMES if real else ()))


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """The session's control plane, without nodes; a test adds those that it needs."""
    with Bed() as bed:
        yield bed


@pytest.fixture(scope="session")
def node_bed() -> Iterator[NodeBed]:
    """The session's control plane with one real node."""
    with NodeBed() as bed:
        yield bed


@pytest.fixture
def node_namespace(node_bed: NodeBed) -> Iterator[str]:
    """A namespace of the node's bed for one test; its pods end with the test."""
    yield from _namespace(node_bed)


@pytest.fixture
def namespace(bed: Bed) -> Iterator[str]:
    """A namespace for one test; its ServiceAccount `default` is there, and all goes after the test."""
    yield from _namespace(bed)


def _namespace(bed: Bed) -> Iterator[str]:
    name = f"test-{next(_numbers)}"
    bed.kubectl("create", "namespace", name)
    bed.wait("wait", "--for=create", "serviceaccount/default", namespace=name)
    yield name
    bed.kubectl("delete", "namespace", name, "--wait=false")
