"""The record between agent and guard: whole or not there, of this boot or void, and nobody else's."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import (
    FILE,
    ArmedRecord,
    ArmedRecordFile,
    GpuRecord,
    GuardReport,
    Unreadable,
)
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.step_downs import lowered_mw
from testbed.other_versions import lengthen, reform

BOOT = "3e1b8f0c-3d1e-4b7e-9d5a-0c1b2a3d4e5f"
OTHER_BOOT = "00000000-0000-4000-8000-000000000000"
SLOT = 4096
FORM, COUNT_AT = range(5, 8), 64
"""Bytes of a slot that name its form, and the first of its count of GPUs."""

milliwatts = st.integers(0, 2_000_000)
gpu_records = st.builds(
    GpuRecord,
    uuid=st.uuids().map(lambda uuid: f"GPU-{uuid}"),
    safe_watts=milliwatts.map(lambda value: value / 1000),
    found_watts=st.none() | milliwatts.map(lambda value: value / 1000),
    found_mhz=st.none() | st.integers(1, 3000),
)
written_records = st.builds(
    ArmedRecord,
    boot_id=st.just(BOOT),
    armed=st.booleans(),
    deadline_s=st.floats(0.0, 1e9),
    plan_version=st.integers(0, 2**63),
    gpus=st.lists(gpu_records, max_size=armed_records.MAX_GPUS).map(tuple),
    domain=st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", fullmatch=True) | st.just(""),
)


@pytest.fixture
def state(tmp_path: Path) -> ArmedRecordFile:
    return ArmedRecordFile(str(tmp_path), BOOT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def armed(deadline_s: float, watts: float = 247.0) -> ArmedRecord:
    return ArmedRecord(BOOT, armed=True, deadline_s=deadline_s, gpus=(GpuRecord("GPU-0", watts),))


def spoil(file: Path, at: int, data: bytes = b"\xff") -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(data)


@given(written=st.lists(written_records, min_size=1, max_size=3))
def test_the_last_record_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, written: list[ArmedRecord]
) -> None:
    state = ArmedRecordFile(str(tmp_path_factory.mktemp("state")), BOOT)
    for record in written:
        state.write(record)
    assert state.read() == written[-1]._replace(sequence=len(written))


def test_nothing_written_is_not_armed(state: ArmedRecordFile) -> None:
    assert state.read() == ArmedRecord(BOOT)
    assert state.read_report() is None


def test_a_record_of_another_boot_is_void(state: ArmedRecordFile, tmp_path: Path) -> None:
    state.write(armed(9.0))
    state.write_report(GuardReport(BOOT, 1, 2.0, 3, 4, 5, armed_records.EXPIRED))
    successor = ArmedRecordFile(str(tmp_path), OTHER_BOOT)
    assert not successor.read().armed
    assert successor.read_report() is None


@given(at=st.integers(0, 143).filter(lambda at: at not in FORM), flip=st.integers(1, 255))
def test_any_spoilt_byte_leaves_the_record_before(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    directory = tmp_path_factory.mktemp("state")
    state = ArmedRecordFile(str(directory), BOOT)
    state.write(armed(1.0))
    state.write(armed(2.0))
    spoil(directory / FILE, at, bytes([(directory / FILE).read_bytes()[at] ^ flip]))
    assert state.read().deadline_s == 1.0


@given(length=st.integers(0, SLOT))
def test_a_write_that_is_cut_short_leaves_the_record_before(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    directory = tmp_path_factory.mktemp("state")
    state = ArmedRecordFile(str(directory), BOOT)
    for deadline_s in (1.0, 2.0):
        state.write(armed(deadline_s))
    before = (directory / FILE).read_bytes()
    state.write(armed(3.0, watts=100.0))
    after = (directory / FILE).read_bytes()
    cut = before[:SLOT] + after[SLOT : SLOT + length] + before[SLOT + length :]
    (directory / FILE).write_bytes(cut)
    assert state.read().deadline_s == (3.0 if cut == after else 2.0)


def test_a_record_torn_in_both_slots_is_unreadable(state: ArmedRecordFile, file: Path) -> None:
    state.write(armed(1.0))
    state.write(armed(2.0))
    spoil(file, 30)
    spoil(file, SLOT + 30)
    with pytest.raises(Unreadable, match="both copies of the record"):
        state.read()


@given(noise=st.binary(max_size=4 * SLOT))
def test_noise_is_unreadable_or_unarmed_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / FILE).write_bytes(noise)
    try:
        assert not ArmedRecordFile(str(directory), BOOT).read().armed
    except Unreadable:
        assert noise.strip(b"\x00")


def test_a_torn_record_is_fixed_by_the_next_write(state: ArmedRecordFile, file: Path) -> None:
    file.write_bytes(b"\xff" * 4 * SLOT)
    state.write(armed(5.0))
    assert state.read().deadline_s == 5.0


def test_what_a_later_version_adds_to_a_record_is_passed_over(state: ArmedRecordFile, file: Path) -> None:
    record = armed(5.0)._replace(domain="row-a")
    state.write(record)
    state.write_report(GuardReport(BOOT, 1, 2.0, 3, 4, 5, armed_records.EXPIRED))
    before = state.read_report()
    lengthen(file)
    assert state.read() == record._replace(sequence=1)
    assert state.read_report() == before


@pytest.mark.parametrize("at", FORM)
def test_a_record_in_another_form_is_never_taken_for_an_unarmed_one(
    state: ArmedRecordFile, file: Path, at: int
) -> None:
    """A later version has armed the node, over a record in which it wasn't."""
    state.write(ArmedRecord(BOOT))
    state.write(armed(5.0))
    spoil(file, at, b"\x07")
    with pytest.raises(Unreadable, match=r"format of another version; run the version that wrote it"):
        state.read()


def test_what_is_written_over_another_form_is_the_newest(state: ArmedRecordFile, file: Path) -> None:
    for _ in range(3):
        state.write(armed(5.0))
    reform(file)
    state.write(armed(6.0))
    assert state.read() == armed(6.0)._replace(sequence=4)


def test_a_record_that_contradicts_itself_is_unreadable(state: ArmedRecordFile, file: Path) -> None:
    state.write(armed(5.0))
    spoil(file, SLOT + COUNT_AT, b"\x09")
    lengthen(file, b"")
    with pytest.raises(Unreadable, match="contradicts itself"):
        state.read()


def test_agent_and_guard_do_not_overwrite_each_other(state: ArmedRecordFile) -> None:
    report = GuardReport(BOOT, 77, 2.0, 3, 4, 5, armed_records.EXPIRED)
    for turn in range(3):
        state.write(armed(float(turn)))
        state.write_report(report)
    assert state.read().deadline_s == 2.0
    assert state.read_report() == report
    assert armed_records.STATES[report.state] == "expired"


def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "state"
    armed_records.prepare(str(directory))
    directory.chmod(0o755)
    armed_records.prepare(str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    ArmedRecordFile(str(directory), BOOT).write(armed(1.0))
    assert stat.S_IMODE((directory / FILE).stat().st_mode) == 0o600


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InvalidInput, match="name a real directory"):
        armed_records.prepare(str(tmp_path / "link"))


def test_a_link_in_place_of_the_record_is_not_followed(
    state: ArmedRecordFile, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unreadable):
        state.read()
    with pytest.raises(OSError, match="symbolic link"):
        state.write(armed(1.0))


@pytest.mark.parametrize(
    ("gpus", "field"),
    [
        (tuple(GpuRecord(f"GPU-{index}", 1.0) for index in range(33)), "gpus is 33"),
        ((GpuRecord("G" * 49, 1.0),), "uuid is"),
    ],
)
def test_what_does_not_fit_is_refused(
    state: ArmedRecordFile, gpus: tuple[GpuRecord, ...], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        state.write(ArmedRecord(BOOT, gpus=gpus))


def test_a_record_names_its_domain_and_one_of_an_older_version_names_none(tmp_path: Path) -> None:
    state = ArmedRecordFile(str(tmp_path), BOOT)
    gpus = (GpuRecord("GPU-0", 250.0),)
    state.write(ArmedRecord(BOOT, True, 9.0, 3, gpus))
    assert state.read() == ArmedRecord(BOOT, True, 9.0, 3, gpus, 1)
    state.write(ArmedRecord(BOOT, True, 9.0, 3, gpus, domain="row-a"))
    assert state.read() == ArmedRecord(BOOT, True, 9.0, 3, gpus, 2, "row-a")


def test_this_machines_boot_has_a_name() -> None:
    assert len(armed_records.boot_id()) == len(BOOT)
    assert armed_records.boot_id() == armed_records.boot_id()
    assert os.path.exists("/proc/sys/kernel/random/boot_id")


@given(
    enforced=st.integers(0, 700_000),
    requested=st.integers(100_000, 700_000),
    safe=st.integers(0, 700_000),
    lowest=st.integers(50_000, 100_000),
)
def test_a_descent_never_rises_and_ends_at_safe(
    enforced: int, requested: int, safe: int, lowest: int
) -> None:
    target = lowered_mw(enforced_mw=enforced, requested_mw=requested, safe_mw=safe, lowest_mw=lowest)
    asked = requested if target is None else target
    assert lowest <= asked <= requested
    assert asked <= max(safe, lowest)
    assert target is None or target <= max(enforced, lowest)
