"""
Runs the simulations that searches ask for, side by side, and keeps each outcome in a file.

A search says which place it wants to know next, by what it was told so far; a place is a piece of work,
whose inputs name it. So a run that was stopped goes on where it ended, also with other options: only inputs
that no run had are simulated. The file is named by the hash of the sources that an outcome depends on.
"""

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from loadline_sim import resumable
from loadline_sim.progress import Progress

ROOT: Final = Path(__file__).parent.parent
FOLDERS: Final = ("capacity", "serving", "studies", "traffic", "data")
"""What an outcome depends on, beside the modules of the root."""


class Frozen(BaseModel):
    """What goes to another process and into a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


O = TypeVar("O", bound=Frozen)  # noqa: E741


class Piece(Frozen, Generic[O]):
    """One simulation by its inputs, which are its fields."""

    @property
    def name(self) -> str:
        """The hash of the inputs."""
        text = f"{type(self).__name__} {self.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def outcome(self) -> O:
        """Simulate it."""
        raise NotImplementedError


class Search(Protocol[O]):
    """Asks for one place after another."""

    def next_place(self, outcomes: Mapping[int, O], /) -> int | None:
        """The place to simulate next; None when the search is over."""

    def piece(self, place: int, /) -> Piece[O]:
        """What is simulated at a place."""


def sources_hash(root: Path = ROOT) -> str:
    """Of all that an outcome depends on: the simulator's code and its measurements."""
    paths = [*root.glob("*.py"), *(path for folder in FOLDERS for path in (root / folder).rglob("*"))]
    kept = sorted(path for path in paths if path.is_file() and path.suffix != ".pyc")
    return resumable.files_hash(root, kept)


def file_of(folder: Path) -> Path:
    """Where the outcomes of these sources are kept."""
    return folder / f"outcomes-{sources_hash()}.jsonl"


def finished(
    searches: Sequence[Search[O]],
    read: type[O],
    file: Path,
    *,
    jobs: int,
    resume: bool = True,
    progress: Progress = lambda what, share: None,
) -> list[dict[int, O]]:
    """The outcomes of every search, by place; `jobs` processes simulate what the file hasn't."""
    if not resume:
        file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    known = _known(file, read)
    outcomes: list[dict[int, O]] = [{} for _ in searches]
    ready, running = deque(range(len(searches))), dict[Future[O], tuple[int, int, str]]()
    over = 0
    with _executor(jobs) as pool:
        while ready or running:
            while ready and len(running) < jobs:
                number = ready.popleft()
                place = searches[number].next_place(outcomes[number])
                if place is None:
                    over += 1
                    continue
                piece = searches[number].piece(place)
                if piece.name in known:
                    outcomes[number][place] = known[piece.name]
                    ready.appendleft(number)
                    continue
                running[pool.submit(_outcome, piece)] = (number, place, piece.name)
            progress("simulating", over / len(searches) if searches else 1.0)
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                number, place, name = running.pop(future)
                found = outcomes[number][place] = known[name] = future.result()
                resumable.keep(file, name, found.model_dump(mode="json"))
                ready.appendleft(number)
    return outcomes


def _known(file: Path, read: type[O]) -> dict[str, O]:
    """What the file has, apart from what is no outcome."""
    found = {}
    for name, result in resumable.done(file).items():
        try:
            found[name] = read.model_validate(result)
        except ValidationError:
            continue
    return found


def _outcome(piece: Piece[O]) -> O:
    return piece.outcome()


class _Here(Executor):
    """One job needs no process of its own."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _executor(jobs: int) -> Iterator[Executor]:
    """Processes that leave Ctrl-C to this one, and are fresh: a fork would copy the threads of a display."""
    if jobs == 1:
        yield _Here()
        return
    spawned = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawned, initializer=_leave_interrupts)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
