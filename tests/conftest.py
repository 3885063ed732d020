"""
What all tests share: the test bed, and no empty success.

A folder says what a test needs, so that nobody has to remember a marker: what lies in
`cluster` or `e2e` needs the control plane, what lies in `node` needs a node on which pods
really run, and `make check` leaves both out.
"""

import signal
from pathlib import Path

import pytest

from testbed import hypothesis_profiles

pytest_plugins = ["testbed.cluster.fixtures", "testbed.engines.fixtures"]

TESTS = Path(__file__).parent
NEED_A_CLUSTER = {"cluster", "e2e"}
NEED_A_NODE = {"node"}
NEED_AN_ENGINE = {"engine"}

INSIDE_AN_ENGINE = "inside_engine"
"""What needs torch, which the engine's interpreter has and this one hasn't; tests/engine runs it there."""

collect_ignore = [INSIDE_AN_ENGINE]

hypothesis_profiles.load()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the control plane, a real node or a real engine, by their first folder."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in NEED_A_CLUSTER:
            item.add_marker(pytest.mark.cluster)
        if folder in NEED_A_NODE:
            item.add_marker(pytest.mark.node)
        if folder in NEED_AN_ENGINE:
            item.add_marker(pytest.mark.engine)


class Ran:
    """Counts the tests whose body ran; a run in which all were skipped has tested nothing."""

    def __init__(self) -> None:
        self.tests = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one."""
        self.tests += report.when == "call" and not report.skipped

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a run that would be green though nothing ran."""
        if exitstatus == pytest.ExitCode.OK and not self.tests and not session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
            session.config.get_terminal_writer().line("no test ran, so this run fails")


def pytest_configure(config: pytest.Config) -> None:
    """Have the run counted, and hear the signals that tests send to what they start.

    `nohup` and a shell's background jobs are deaf to some, and whatever they start inherits that.
    """
    config.pluginmanager.register(Ran(), "ran")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
