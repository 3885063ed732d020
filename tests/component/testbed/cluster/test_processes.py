"""However a bed's owner ends, no process and no file of the bed stays, but the logs of a run that failed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.cluster import janitors
from testbed.cluster.errors import ProcessFailed
from testbed.cluster.processes import Household, kept_logs
from testbed.cluster.waits import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]

OWNER = """
import signal, sys
from testbed.cluster.processes import Household
with Household() as household:
    household.start("plain", ["sleep", "1000"])
    household.start("deaf", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], grace_s=0.1)
    household.start("runaway", ["setsid", "sh", "-c", "sleep 1000 & wait"])
    print(household.directory, household._janitor.pid, flush=True)
    LAST
"""

PROCESSES = 5
"""sleep; sh and its sleep; setsid's sh and its sleep."""


@contextmanager
def owner(last: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A process that owns a household, its directory and its janitor's id."""
    command = [sys.executable, "-c", OWNER.replace("LAST", last)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as it:
        try:
            assert it.stdout is not None
            directory, janitor = it.stdout.readline().split()
            yield it, directory, int(janitor)
        finally:
            it.kill()


def left(directory: str) -> list[str]:
    """All that is left of a bed's directory."""
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*"))


def gone(directory: str) -> bool:
    return not janitors.processes_of(directory) and not Path(directory).exists()


@pytest.mark.parametrize("last", ["pass", "sys.exit(3)", "import os; os._exit(4)"])
def test_nothing_stays_when_the_owner_ends(last: str) -> None:
    with owner(last) as (process, directory, _):
        process.wait(20)
        assert eventually(lambda: gone(directory))


def test_logs_alone_stay_of_a_run_that_fails() -> None:
    spoken = "while not (household.logs / 'deaf.log').read_text(): pass"
    with owner(f'exec("{spoken}"); raise ValueError') as (process, directory, _):
        process.wait(20)
    assert not janitors.processes_of(directory)
    assert left(directory) == ["logs", "logs/deaf.log", "logs/plain.log", "logs/runaway.log"]
    assert (Path(directory) / "logs/deaf.log").read_text() == "deaf\n"
    shutil.rmtree(directory)


def test_kept_logs_are_where_they_were_and_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    household = Household()
    household.start("greeter", ["echo", "hello"]).wait(10)
    Household.keep_all_logs()
    household.close()
    household.close()
    assert left(str(household.directory)) == ["logs", "logs/greeter.log"]
    assert kept_logs[-1] == household.logs
    assert str(household.logs) in capsys.readouterr().err
    kept_logs.remove(household.logs)
    shutil.rmtree(household.directory)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays_when_the_owner_is_struck_down(number: signal.Signals) -> None:
    with owner("signal.pause()") as (process, directory, _):
        assert eventually(lambda: len(janitors.processes_of(directory)) == PROCESSES)
        process.send_signal(number)
        process.wait(20)
        assert eventually(lambda: gone(directory))


def test_an_owner_sweeps_for_itself_when_its_janitor_was_killed() -> None:
    with owner("signal.pause()") as (process, directory, janitor):
        assert eventually(lambda: len(janitors.processes_of(directory)) == PROCESSES)
        os.kill(janitor, signal.SIGKILL)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert eventually(lambda: gone(directory))


def test_the_next_bed_sweeps_for_an_owner_killed_with_its_janitor() -> None:
    with owner("signal.pause()") as (process, directory, janitor):
        assert eventually(lambda: len(janitors.processes_of(directory)) == PROCESSES)
        os.kill(janitor, signal.SIGKILL)
        process.kill()
        process.wait(20)
        assert janitors.processes_of(directory)
        with Household():
            assert eventually(lambda: gone(directory))


def test_a_bed_leaves_its_neighbour_alone() -> None:
    with Household() as one:
        sleeper = one.start("sleep", ["sleep", "1000"])
        with Household() as other:
            assert other.directory != one.directory
        assert sleeper.running
    assert not sleeper.running


def test_logs_can_outlive_the_bed(tmp_path: Path) -> None:
    with Household(logs=tmp_path / "logs") as household:
        household.start("greeter", ["echo", "hello"]).wait(10)
    assert (tmp_path / "logs" / "greeter.log").read_text() == "hello\n"


def test_a_process_that_ends_too_early_shows_the_end_of_its_log() -> None:
    with Household() as household:
        process = household.start("broken", ["sh", "-c", "seq 100; exit 3"])
        with pytest.raises(ProcessFailed, match=r"(?s)broken ended with status 3:.*99\n100"):
            process.until(lambda: False, timeout_s=10)


def test_a_process_that_is_never_ready_is_not_waited_for_longer_than_said() -> None:
    with Household() as household:
        process = household.start("slow", ["sleep", "1000"])
        with pytest.raises(ProcessFailed, match=r"slow is ready: gave up after 0\.1"):
            process.until(lambda: False, timeout_s=0.1)


def test_a_process_sees_only_the_environment_it_is_given() -> None:
    with Household() as household:
        process = household.start("env", ["/usr/bin/env"], environment={"A": "1"})
        process.wait(10)
        assert process.log.read_text().splitlines() == ["A=1", f"{janitors.MARK}={household.directory}"]
