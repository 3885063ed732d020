"""
What `up` leaves for `down` and `status`: one small file for each named bed.

The owner of a bed holds a lock on its record, so a record whose lock is free is of a
bed that ended without saying so, and no process id is ever believed without a lock.
"""

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.cluster.errors import BedError
from testbed.cluster.toolchains import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A bed that is up."""

    name: str
    owner: int
    server: str
    kubeconfig: str
    directory: str
    depth: str = "control-plane"


def path_of(name: str) -> Path:
    """Where the record of a bed of this name lies; raises BedError for a name that can't be a file's."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise BedError(f"name is {name!r}: use lower-case letters, digits and dashes")
    return cache() / "beds" / f"{name}.json"


@contextmanager
def published(record: Record) -> Iterator[None]:
    """Publish the record while the block lasts; raises BedError when the name is taken."""
    path = path_of(record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BedError(f"name is {record.name!r}: a bed of that name is up, choose another") from None
        file.truncate(0)
        file.write(json.dumps(asdict(record)))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def read(name: str) -> Record | None:
    """The bed of this name, if it is up."""
    try:
        with path_of(name).open() as file:
            return None if _free(file.fileno()) else Record(**json.loads(file.read()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def read_all() -> list[Record]:
    """All beds that are up, by name."""
    names = sorted(path.stem for path in (cache() / "beds").glob("*.json"))
    return [record for record in map(read, names) if record is not None]


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True
