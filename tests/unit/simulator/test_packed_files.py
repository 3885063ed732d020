"""What can't be read of a file is refused by the file's name; what can is read as it is."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim import packed_files
from loadline_sim.traffic import client_windows, sessions

TEXT = "first\r\nsecond ü\n"


def plain(text: bytes) -> bytes:
    return text


@pytest.mark.parametrize(
    ("name", "packed"), [("t.csv", plain), ("t.csv.gz", gzip.compress), ("t.csv.xz", lzma.compress)]
)
def test_a_file_is_read_as_its_name_says(tmp_path: Path, name: str, packed: Callable[[bytes], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(packed(TEXT.encode()))
    with packed_files.opened(path) as file:
        assert file.read() == TEXT


@pytest.mark.parametrize("read", [client_windows.read, sessions.read], ids=["client-windows", "sessions"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.gz", b"no gzip"),
        ("t.xz", b"no xz"),
        ("t.gz", gzip.compress(b"a,b\n" * 99_999)[:-40]),
        ("t.csv", b"\xff\xfe"),
    ],
    ids=["no-gzip", "no-xz", "half", "no-text"],
)
def test_what_is_not_what_its_name_says_is_refused_by_name(
    tmp_path: Path, read: Callable[[Path], object], name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidTrace, match=rf"{name}: what can't be read of it|{name} row 1"):
        read(path)
