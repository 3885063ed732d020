"""Which GPU a device plugin's id means, in all the ways in which plugins number shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.device_ids import gpu_of, is_renumbered, uuids_in

GPU, MIG = "GPU-5c1e", "MIG-0f3b"
BARE = "30f90f49-43ab-0a78-bf5c-93ed41ef2da2"
WHOLE, OTHER = f"GPU-{BARE}", "GPU-18db0e85-99e9-c746-8531-ffeb86328b39"
HERE = (WHOLE, OTHER)

SHARES = ("", "::3", "::2", "-0", "_3", ":2", ".shared-1", "/4", "-12")
"""NVIDIA's time-slicing, HAMi's and Volcano's shares, GKE's, and some that nobody has thought of yet."""


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("named", [WHOLE, BARE, WHOLE.lower(), f"nvidia/{WHOLE}", f"MIG-{WHOLE}/1/0"])
def test_an_id_with_a_gpus_uuid_in_it_is_that_gpu(named: str, share: str) -> None:
    assert gpu_of(f"{named}{share}", HERE) == gpu_of(f"{named}{share}") == WHOLE


@pytest.mark.parametrize(
    "device",
    [
        "",
        "0",
        "nvidia0",
        "nvidia0/gi3",
        "nvidia0/vgpu2",
        "::2",
        "GPU-",
        "GPU-::2",
        "UUID-0",
        f"MIG-{BARE}",
        f"MIG-{BARE}::1",
        "GPU-00000000-0000-0000-0000-000000000000-0",
        "GPU-5c1e::3",
        "30f90f49-43ab-0a78-bf5c",
    ],
)
def test_an_id_that_tells_none_of_the_nodes_gpus_is_not_guessed(device: str) -> None:
    assert gpu_of(device, HERE) is None


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        (GPU, GPU),
        (f"{GPU}::3", GPU),
        (f"MIG-{GPU}/1/0", GPU),
        (f"MIG-{GPU}/1/0::2", GPU),
        (MIG, None),
        ("0", None),
        ("", None),
    ],
)
def test_before_the_gpus_are_known_an_id_is_believed_by_its_form(device: str, gpu: str | None) -> None:
    assert gpu_of(device) == gpu
    if gpu is not None:
        assert gpu_of(device, (GPU,)) == GPU


def test_only_hamis_shares_are_any_of_the_node() -> None:
    assert [is_renumbered(f"{WHOLE}{share}") for share in SHARES] == [
        share in ("-0", "-12") for share in SHARES
    ]
    assert not is_renumbered(f"{BARE}-0")


def test_hamis_annotation_lists_gpus_by_container() -> None:
    text = f"{WHOLE},NVIDIA,3000,30:;{OTHER},NVIDIA,3000,30:{WHOLE},NVIDIA,1,1:;"
    assert uuids_in(text) == {WHOLE, OTHER}
    assert uuids_in("") == uuids_in(";;:,") == frozenset()


@given(st.text())
def test_no_id_is_too_odd(device: str) -> None:
    assert gpu_of(device, HERE) in (None, *HERE)
    uuids_in(device)
