"""
Whether a machine has NVIDIA GPUs at all, where there is no driver to ask.

A server without GPUs has no driver either, and so has one whose driver isn't installed yet, or isn't
shown to this container. Only the first draws its host's watts and no more. The PCI bus tells them
apart: /sys shows it in every container.
"""

from pathlib import Path
from typing import Final

PCI_DEVICES: Final = Path("/sys/bus/pci/devices")

_NVIDIA: Final = "0x10de"
_DISPLAY: Final = ("0x0300", "0x0302")  # VGA and 3D controllers; the four digits after them don't matter


def nvidia_gpus(devices: Path = PCI_DEVICES) -> int | None:
    """How many NVIDIA GPUs are on the PCI bus; None where the bus can't be read."""
    try:
        found = list(devices.iterdir())
        return sum(_is_gpu(device) for device in found) if found else None
    except OSError:
        return None


def _is_gpu(device: Path) -> bool:
    vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)
