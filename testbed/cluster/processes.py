"""
The processes of a bed and the directory they share, all gone when the bed is.

`Household` owns a fresh directory under the system's temporary one, starts processes
in it (each in its own session, so that a terminal's Ctrl-C reaches the owner alone,
each with a log file) and ends them in reverse order. Whatever happens to the owner,
`janitors` sweeps behind it. A bed whose janitor was killed too is swept by the next.

Errors name the logs, and are read when the run is over. So where a run fails, the logs stay
where they are, and nothing else of the directory does.

Knows nothing of Kubernetes; `control_planes` and the tests start their parts with it.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, Final, Self
from weakref import WeakSet

from testbed.cluster import janitors
from testbed.cluster.errors import ProcessFailed
from testbed.cluster.waits import GaveUp, wait_for

PREFIX = "loadline-bed-"
GRACE_S = 5.0
"""Chosen: time to release a lease and to close a journal."""

TAIL_LINES = 12
"""So much of a log is quoted when its process fails: enough for a Go program's last words."""

kept_logs: Final[list[Path]] = []
"""The directories of logs that stayed of failed runs, in this process."""


class Process:
    """One running program of a bed, with its log."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        log: Path,
        grace_s: float,
    ) -> None:
        self.name, self.log, self._grace_s = name, log, grace_s
        with log.open("ab") as sink:
            self._popen = subprocess.Popen(
                arguments,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id; it stays taken until the process was waited for by `stop`."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process still lives."""
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended already is left in peace."""
        self._popen.send_signal(number)

    def stop(self) -> int:
        """Ask the process to end, and kill it when its grace is over; gives its exit status."""
        if self._grace_s and self.running:
            self._popen.terminate()
        try:
            return self._popen.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the process without asking; gives its exit status."""
        self._popen.kill()
        return self._popen.wait()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until the process ends by itself; gives its exit status."""
        return self._popen.wait(timeout_s)

    def until(self, ready: Callable[[], bool], *, timeout_s: float, every_s: float = 0.05) -> None:
        """Return once `ready()` holds; ProcessFailed when the process ends, or is silent for `timeout_s`.

        A process that goes on writing its log is at work.
        """

        def is_ready() -> bool | None:
            if ready():
                return True
            if not self.running:
                raise ProcessFailed(f"{self.name} ended with status {self._popen.returncode}:\n{self.tail()}")
            return None

        try:
            wait_for(
                is_ready,
                f"{self.name} is ready",
                standstill_s=timeout_s,
                seen=lambda: f"{self.log.stat().st_size} bytes of log" if self.log.exists() else "no log",
                why=self.tail,
                every_s=every_s,
            )
        except GaveUp as error:
            raise ProcessFailed(str(error)) from error

    def tail(self) -> str:
        """The last lines of the process's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


class Household:
    """A directory and the processes in it; a context manager that leaves neither.

    `logs` is where log files go when they shall outlive the bed. Without it they are in the directory, and
    outlive the bed only if its block ends with an error, or `keep_logs` was called.
    """

    _open: ClassVar["WeakSet[Household]"] = WeakSet()

    def __init__(self, *, logs: Path | None = None) -> None:
        _sweep_the_forgotten()
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.logs = logs or self.directory / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.directory)
        self._janitor = _start_janitor(self.directory)
        self._processes: list[Process] = []
        self._keeps_logs = False
        self._open.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.ended(kind)
        self.close()

    @classmethod
    def keep_all_logs(cls) -> None:
        """Let the logs of every household that is open now outlive it."""
        for one in cls._open:
            one.keep_logs()

    def keep_logs(self) -> None:
        """Let the logs outlive the directory."""
        self._keeps_logs = True

    def ended(self, kind: type[BaseException] | None) -> None:
        """Take note of how the owner's block has ended: after an error the logs are kept.

        A signal or an exit status is no error.
        """
        if kind is not None and issubclass(kind, Exception):
            self.keep_logs()

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        grace_s: float = GRACE_S,
    ) -> Process:
        """Start a program in the bed's directory, its output in `logs/<name>.log`.

        `environment` is all that it sees; without it, it sees the owner's. `grace_s` is
        what it gets to end by itself once asked; with none it is killed unasked.
        """
        own = {**(os.environ if environment is None else environment), janitors.MARK: str(self.directory)}
        process = Process(
            name,
            arguments,
            environment=own,
            cwd=self.directory,
            log=self.logs / f"{name}.log",
            grace_s=grace_s,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End all processes, the youngest first, and remove the directory. Doing it twice does no harm."""
        try:
            while self._processes:
                self._processes.pop().stop()
        finally:
            self._open.discard(self)
            with self._spared_logs():
                _dismiss(self._janitor)
                janitors.sweep(str(self.directory))
            self._lock.close()

    @contextlib.contextmanager
    def _spared_logs(self) -> Iterator[None]:
        """Take the logs away while the directory is removed, and put them back, if they are to be kept."""
        if not self._keeps_logs or not self.logs.is_relative_to(self.directory) or not self.logs.exists():
            yield
            return
        aside = self.directory.with_name(f"{self.directory.name}-logs")
        self.logs.rename(aside)
        try:
            yield
        finally:
            self.logs.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside.rename(self.logs)
            if self.logs not in kept_logs:
                kept_logs.append(self.logs)
                print(f"the logs of the failed run are kept in {self.logs}", file=sys.stderr)


def _start_janitor(directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", janitors.__file__, str(directory), str(os.getpid())]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
    )


def _dismiss(janitor: subprocess.Popen[bytes]) -> None:
    """The janitor sweeps and ends once its pipe is closed."""
    assert janitor.stdin is not None
    janitor.stdin.close()
    try:
        janitor.wait(2 * janitors.SWEEP_LIMIT_S)
    except subprocess.TimeoutExpired:
        janitor.kill()
        janitor.wait()


def _lock(directory: Path) -> IO[bytes]:
    """A lock that the kernel lets go of when the owner ends, however it ends.

    Taken before it has its name, so that nobody ever finds it free.
    """
    path = directory / "new.lock"
    lock = path.open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    path.rename(directory / "owner.lock")
    return lock


def _sweep_the_forgotten() -> None:
    """Sweep beds whose owner and janitor are both gone: their lock is there, and free."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner.lock"):
        with contextlib.suppress(OSError), path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            janitors.sweep(str(path.parent))
