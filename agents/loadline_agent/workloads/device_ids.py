"""
Which GPU a device is, by what a device plugin or a claim calls it.

A plugin gives its devices any id that it likes, and most have the GPU's UUID in it: `GPU-…` is a GPU,
`GPU-…::3` a share of its time, `GPU-…-0` or the bare UUID with a number one of HAMi's or another's
shares, `MIG-GPU-…/1/0` a part as older drivers name it. A UUID counts only if it is one of this node's
GPUs: an id that only looks like one would else make the GPU in use nobody's. What an id doesn't tell is
None, never a guess.

Newer drivers give parts a UUID of their own (`MIG-…`), and claims name devices by driver, pool and
name; both are looked up elsewhere.
"""

import re
from collections.abc import Collection
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIX: Final = "GPU-"


_RENUMBERED: Final = re.compile(rf"{_PREFIX}{_UUID.pattern}-[0-9]+", re.IGNORECASE)


def gpu_of(device: str, here: Collection[str] = ()) -> str | None:
    """The GPU's UUID in a device's id; None where the id doesn't tell, or tells none of the GPUs in `here`.

    Without any GPU in `here` it isn't known yet which there are, and the id is believed.
    """
    found = _by_uuid(device) or _by_form(device)
    if not here or found is None:
        return found
    spelt = {uuid.lower(): uuid for uuid in here}
    return spelt.get(found.lower())


def uuids_in(text: str) -> frozenset[str]:
    """The UUIDs of GPUs in a text, as an annotation lists them."""
    return frozenset(f"{_PREFIX}{named[0].lower()}" for named in _UUID.finditer(text))


def is_renumbered(device: str) -> bool:
    """Whether it is a share as HAMi numbers them, of which the kubelet picks any."""
    return _RENUMBERED.fullmatch(device) is not None


def _by_uuid(device: str) -> str | None:
    """By a whole UUID, unless it is that of a part, which is another than its GPU's."""
    named = _UUID.search(device)
    if named is None or (device.startswith("MIG-") and not device.startswith(f"MIG-{_PREFIX}")):
        return None
    return f"{_PREFIX}{named[0].lower()}"


def _by_form(device: str) -> str | None:
    """By the form alone, for UUIDs of other lengths."""
    whole = device.partition("::")[0]
    if whole.startswith(f"MIG-{_PREFIX}"):
        return whole.removeprefix("MIG-").partition("/")[0]
    return whole if whole.startswith(_PREFIX) else None
