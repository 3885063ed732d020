"""Where an engine's environment lies, and what happens when it can't be made."""

from pathlib import Path

import pytest

from testbed.cluster.errors import BuildFailed
from testbed.engines import venvs
from testbed.engines.venvs import Venv


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list and a cache of this test's own."""
    pinned = tmp_path / "engine.txt"
    pinned.write_text("nothing==1 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(venvs, "LIST", pinned)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return pinned


def test_another_list_is_another_environment(pinned: Path) -> None:
    before = venvs.place()
    assert venvs.place() == before
    pinned.write_text("nothing==2\n")
    assert venvs.place() != before


def test_one_without_its_mark_is_not_there(pinned: Path) -> None:
    venvs.place().mkdir(parents=True)
    assert venvs.missing()
    (venvs.place() / venvs.READY).touch()
    assert not venvs.missing()
    assert venvs.ensure() == Venv(venvs.place())


def test_what_can_not_be_installed_leaves_no_mark(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(BuildFailed, match=r"could not be installed:\n(.|\n)*nothing==1"):
        venvs.ensure()
    assert venvs.missing()


def test_the_python_that_it_was_made_from_is_found_behind_its_links(tmp_path: Path) -> None:
    real = tmp_path / "python-3.11" / "bin" / "python3.11"
    real.parent.mkdir(parents=True)
    real.touch()
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python3").symlink_to(real)
    (bin / "python").symlink_to("python3")
    assert Venv(tmp_path / "venv").base == tmp_path / "python-3.11"
