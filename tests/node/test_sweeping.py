"""A bed's directory is removed only when nothing is mounted in it: so the janitor never reaches beyond."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster import janitors


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A bed's directory in which a directory of the machine is mounted, and that directory."""
    bed, ours = tmp_path / "a béd", tmp_path / "ours"
    (bed / "inner").mkdir(parents=True)
    ours.mkdir()
    (ours / "book").write_text("of the machine")
    subprocess.run(["mount", "--bind", ours, bed / "inner"], check=True)
    yield bed, ours
    subprocess.run(["umount", "--quiet", "--lazy", bed / "inner"], check=False)


def test_what_is_mounted_in_a_bed_is_unmounted_and_stays_whole(bound: tuple[Path, Path]) -> None:
    bed, ours = bound
    assert janitors.mounts_below(str(bed)) == [str(bed / "inner")]
    janitors.sweep(str(bed))
    assert not bed.exists()
    assert (ours / "book").read_text() == "of the machine"


def test_a_bed_in_which_something_stays_mounted_is_not_removed(
    bound: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bed, ours = bound
    monkeypatch.setattr(janitors, "DETACH", 0x100)  # no flag of umount2: it refuses
    janitors.sweep(str(bed))
    assert (bed / "inner" / "book").exists()
    assert (ours / "book").read_text() == "of the machine"


def test_the_groups_of_a_bed_go_with_those_below_and_no_others(tmp_path: Path) -> None:
    mine, other = (Path("/sys/fs/cgroup/memory", f"loadline-{name}-{tmp_path.name}") for name in ("a", "b"))
    if not mine.parent.is_dir():
        mine, other = (path.parents[1] / path.name for path in (mine, other))
    for path in (mine / "kubepods" / "pod", other):
        path.mkdir(parents=True)
    try:
        janitors.sweep(str(tmp_path / mine.name))
        assert not mine.exists()
        assert other.exists()
    finally:
        other.rmdir()
