"""The stand-in for NVIDIA's runtime gives the fake driver to containers that ask for GPUs, to no others."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.fakegpu import container_runtime
from testbed.fakegpu.container_runtime import MOUNTED_AT, bundle_of, exposed

DRIVER = {"LD_LIBRARY_PATH": MOUNTED_AT, "LOADLINE_FAKEGPU_NODE": "node-0"}
Config = dict[str, Any]


def config(*env: str, mounts: tuple[str, ...] = ("/proc",)) -> Config:
    return {"process": {"env": list(env)}, "mounts": [{"destination": path} for path in mounts]}


def test_a_container_that_asks_for_gpus_gets_the_driver() -> None:
    made = exposed(config("PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"), DRIVER, folder="/bed/gpus")
    assert made["process"]["env"][2:] == [f"LD_LIBRARY_PATH={MOUNTED_AT}", "LOADLINE_FAKEGPU_NODE=node-0"]
    assert made["mounts"][1]["source"] == "/bed/gpus"


def test_what_the_container_says_itself_stays() -> None:
    made = exposed(config("NVIDIA_VISIBLE_DEVICES=all", "LD_LIBRARY_PATH=/own"), DRIVER, folder="/bed/gpus")
    assert made["process"]["env"][1:] == ["LD_LIBRARY_PATH=/own", "LOADLINE_FAKEGPU_NODE=node-0"]


@pytest.mark.parametrize("said", ["", "void", "none"])
def test_a_container_that_asks_for_none_is_left_alone(said: str) -> None:
    asked = config(f"NVIDIA_VISIBLE_DEVICES={said}")
    assert exposed(asked, DRIVER, folder="/bed/gpus") == asked
    assert exposed(config(), DRIVER, folder="/bed/gpus") == config()


def test_a_container_that_the_device_plugin_served_is_left_alone() -> None:
    served = config("NVIDIA_VISIBLE_DEVICES=GPU-1", mounts=("/proc", MOUNTED_AT))
    assert exposed(served, DRIVER, folder="/bed/gpus") == served


@pytest.mark.parametrize(
    ("arguments", "bundle"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "id"], "/b"),
        (["create", "-b", "/b", "id"], "/b"),
        (["create", "id"], os.getcwd()),
        (["--root", "/r", "start", "id"], None),
    ],
)
def test_the_bundle_is_found_where_runc_is_told_it(arguments: list[str], bundle: str | None) -> None:
    assert bundle_of(arguments) == bundle


def test_it_hands_over_to_runc(tmp_path: Path) -> None:
    """As containerd runs it: a copy beside the GPUs, in a bare interpreter."""
    program, bundle, runc = tmp_path / "runtime.py", tmp_path / "bundle", tmp_path / "bin" / "runc"
    for folder in (bundle, runc.parent, tmp_path / "gpus"):
        folder.mkdir()
    program.write_text(Path(container_runtime.__file__).read_text())
    (tmp_path / "gpus" / "environment.json").write_text(json.dumps(DRIVER))
    (bundle / "config.json").write_text(json.dumps(config("NVIDIA_VISIBLE_DEVICES=all")))
    runc.write_text('#!/bin/sh\necho "runc $*"\n')
    runc.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-IS", program, "create", "--bundle", bundle, "id"],
        env={"PATH": f"{runc.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"runc create --bundle {bundle} id\n"
    mounts = json.loads((bundle / "config.json").read_text())["mounts"]
    assert {
        "destination": MOUNTED_AT,
        "type": "bind",
        "source": str(tmp_path / "gpus"),
        "options": ["rbind", "rw"],
    } in mounts
