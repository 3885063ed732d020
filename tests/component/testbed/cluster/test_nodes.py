"""What a real node is made of, as far as no root is needed: networks, images, parts, settings."""

import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from rich.console import Console

from testbed.cluster import debian, images, networks
from testbed.cluster.errors import BedError
from testbed.cluster.kubelets import taint
from testbed.cluster.networks import Network, Reserved


def member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        found = tar.extractfile(name)
        assert found is not None
        return found.read()


def test_networks_of_all_places_are_apart() -> None:
    every = [Network(number=number) for number in range(networks.PLACES)]
    for told in ("name", "machine", "node", "pods", "services", "dns"):
        assert len({getattr(network, told) for network in every}) == networks.PLACES
    assert all(len(network.name) <= 15 for network in every), "the kernel takes no longer name of a card"


def test_a_network_is_taken_once_and_given_back() -> None:
    one, other = Reserved(), Reserved()
    assert one.network != other.network
    one.close()
    again = Reserved()
    assert again.network.number <= one.network.number
    for reserved in (other, again):
        reserved.close()


def test_when_all_networks_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "PLACES", 0)
    with pytest.raises(BedError, match="take a bed down"):
        Reserved()


def test_a_reservation_is_a_name_that_the_kernel_forgets() -> None:
    reserved = Reserved()
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match="in use"):
        other.bind(f"\0loadline-node-{reserved.network.number}")
    reserved.close()


def test_an_archive_is_one_layer_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    images.archive(
        path, "localhost/x:1", files={"bin/x": b"program"}, links={"bin/y": "x"}, entrypoint=["/bin/x"]
    )
    (manifest,) = json.loads(member(path, "manifest.json"))
    assert manifest["RepoTags"] == ["localhost/x:1"]
    config = json.loads(member(path, manifest["Config"]))
    assert config["config"]["Entrypoint"] == ["/bin/x"]
    layer = member(path, manifest["Layers"][0])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("bin/x").mode == 0o755
        assert tar.getmember("bin/y").linkname == "x"
        assert tar.getmember("tmp").mode == 0o1777


def test_the_same_content_is_the_same_archive(tmp_path: Path) -> None:
    """So a node, which keeps layers by digest, keeps one."""
    for name in ("a", "b"):
        images.archive(
            tmp_path / name, "localhost/x:1", files={"bin/x": b"1"}, links={}, entrypoint=["/bin/x"]
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("spare=yes:NoSchedule", {"key": "spare", "value": "yes", "effect": "NoSchedule"}),
        ("spare:NoExecute", {"key": "spare", "value": "", "effect": "NoExecute"}),
    ],
)
def test_a_taint_is_read_as_kubectl_reads_it(text: str, written: dict[str, str]) -> None:
    assert taint(text) == written


@pytest.mark.parametrize("text", ["spare", "spare=yes:Sometimes", "=yes:NoSchedule"])
def test_a_taint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BedError, match=r"taint is .*: write it as key=value:NoSchedule"):
        taint(text)


def test_without_root_the_obstacle_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (debian.obstacle() or "").startswith("a node that runs pods needs root")
    with pytest.raises(BedError, match="needs root"):
        debian.require()


def test_a_machine_without_the_parts_says_which_and_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for package in debian.NODE_PARTS:
        monkeypatch.setitem(debian.NODE_PARTS, package, lambda: True)
    monkeypatch.setitem(debian.NODE_PARTS, "containerd", lambda: False)
    assert "needs containerd: as root, run `python -m testbed.cluster prepare`" in (debian.obstacle() or "")


def test_only_what_is_missing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for parts in (debian.NODE_PARTS, debian.IMAGE_PARTS):
        for package in parts:
            monkeypatch.setitem(parts, package, lambda: True)
    monkeypatch.setitem(debian.IMAGE_PARTS, "buildah", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    told, apt = tmp_path / "told", tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$*" >>{told}\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    console = Console(file=io.StringIO())
    debian.install(console)
    assert told.read_text().splitlines()[1].endswith("--no-install-recommends buildah")
    assert "installing from the distribution: buildah" in console.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_is_installed_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setitem(debian.NODE_PARTS, "containerd", lambda: False)
    with pytest.raises(
        BedError, match=r"containerd.*: needs root and apt-get to be installed; nothing was changed"
    ):
        debian.install(Console(file=io.StringIO()))
