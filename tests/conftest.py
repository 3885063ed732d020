"""
What all tests share: how Hypothesis looks for examples, the test bed, and no empty success.

A folder says what a test needs, so that nobody has to remember a marker: what lies in
`cluster` or `e2e` needs the control plane, what lies in `node` needs a node on which pods
really run, and `make check` leaves both out.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ["testbed.cluster.fixtures", "testbed.engines.fixtures"]

TESTS = Path(__file__).parent
NEED_A_CLUSTER = {"cluster", "e2e"}
NEED_A_NODE = {"node"}
NEED_AN_ENGINE = {"engine"}

# A busy machine is not a failure: neither an example's time nor the making of examples is judged.
# A failure is shrunk but not explained: explaining runs it some hundred times more.
PATIENT = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)

# `make check` looks a quarter as long as CI, which looks as long as Hypothesis does by itself.
settings.register_profile("default", PATIENT, max_examples=25)
settings.register_profile("ci", PATIENT, derandomize=True, database=None)
settings.register_profile("thorough", PATIENT, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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
