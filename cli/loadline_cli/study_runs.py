"""
What studies of many simulations share: how many run side by side, and where their outcomes are kept.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadline_cli.exits import CommandError
from loadline_cli.progress import progress_bars
from loadline_policies.errors import InvalidInput
from loadline_sim.progress import Progress
from loadline_sim.studies import searches

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`jobs` None: one for each processor that this process may use."""

    jobs: int | None
    resume: bool

    @property
    def processes(self) -> int:
        """How many simulations run side by side."""
        return self.jobs or processors()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def ran(run: Callable[[Path, Progress], S], out: Path) -> S:
    """Run a study whose outcomes are kept in `out`; CommandError if it can't."""
    try:
        with progress_bars() as progress:
            return run(searches.file_of(out), progress)
    except InvalidInput as error:
        raise CommandError(f"`{error.field}` is {error.shown}", hint=error.fix) from error
    except OSError as error:
        raise CommandError(
            f"can't keep outcomes in `{out}`: {(error.strerror or 'unknown error').lower()}",
            hint="choose another folder with `--out`",
        ) from error
