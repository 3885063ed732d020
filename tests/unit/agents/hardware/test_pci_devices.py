"""A machine without a driver has no GPUs only if its PCI bus shows none."""

from pathlib import Path

import pytest

from loadline_agent.hardware.pci_devices import nvidia_gpus


def bus(directory: Path, *devices: tuple[str, str]) -> Path:
    for index, (vendor, kind) in enumerate(devices):
        device = directory / f"0000:00:{index:02x}.0"
        device.mkdir()
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    return directory


H100, GEFORCE = ("0x10de", "0x030200"), ("0x10de", "0x030000")
NVSWITCH, SOUND = ("0x10de", "0x068000"), ("0x10de", "0x040300")
BMC_DISPLAY, NIC = ("0x1a03", "0x030000"), ("0x15b3", "0x020000")


@pytest.mark.parametrize(
    ("devices", "count"),
    [([NIC, BMC_DISPLAY], 0), ([NIC, H100, NVSWITCH, H100], 2), ([GEFORCE, SOUND], 1)],
)
def test_only_nvidias_gpus_count(tmp_path: Path, devices: list[tuple[str, str]], count: int) -> None:
    assert nvidia_gpus(bus(tmp_path, *devices)) == count


def test_a_bus_that_cannot_be_read_or_shows_nothing_tells_nothing(tmp_path: Path) -> None:
    assert nvidia_gpus(tmp_path / "missing") is None
    assert nvidia_gpus(tmp_path) is None
    (bus(tmp_path, H100) / "0000:00:00.0" / "class").unlink()
    assert nvidia_gpus(tmp_path) is None
