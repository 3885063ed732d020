"""The part of a pod template that mounts the host's engine."""

from pathlib import Path

import pytest

from testbed.engines.venvs import Venv
from testbed.images.builds import Image
from testbed.images.engine_mounts import MODEL, EngineMounts


@pytest.fixture
def mounts(tmp_path: Path) -> EngineMounts:
    """Those of an engine whose environment was made from a Python elsewhere."""
    python = tmp_path / "python" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.touch()
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(python)
    image = Image(tmp_path / "base.tar", "localhost/base:1")
    return EngineMounts(venv=Venv(venv), model=tmp_path / "model", image=image)


def test_the_engine_its_python_and_the_model_are_seen(mounts: EngineMounts, tmp_path: Path) -> None:
    hosted = mounts.hosted()
    assert hosted[str(tmp_path / "venv")] == tmp_path / "venv"
    assert hosted[str(tmp_path / "python")] == tmp_path / "python"
    assert hosted[MODEL] == tmp_path / "model"
    assert not {"/", "/etc", "/root", "/tmp", "/home", "/var"} & hosted.keys()


def test_nothing_of_the_host_can_be_written(mounts: EngineMounts) -> None:
    (container,) = mounts.template()["spec"]["containers"]
    kept = {volume["name"] for volume in mounts.template()["spec"]["volumes"] if "hostPath" in volume}
    assert kept == {mount["name"] for mount in container["volumeMounts"] if mount.get("readOnly")}


def test_every_mount_has_its_volume(mounts: EngineMounts) -> None:
    for template in (mounts.template(), mounts.router_template()):
        (container,) = template["spec"]["containers"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_plug_ins_are_found_beside_the_engine(mounts: EngineMounts, tmp_path: Path) -> None:
    with_plugins = EngineMounts(
        venv=mounts.venv, model=mounts.model, image=mounts.image, plugins=tmp_path / "plugins"
    )
    (container,) = with_plugins.template()["spec"]["containers"]
    assert {"name": "PYTHONPATH", "value": "/opt/plugins"} in container["env"]
    assert with_plugins.hosted()["/opt/plugins"] == tmp_path / "plugins"
