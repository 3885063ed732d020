"""
Images without a registry: an archive that `ctr images import` takes, made by tarfile.

A node has no way to a registry, so whatever runs on it is imported from a file. Here
is how few lines such a file needs, and the one image that every bed has: busybox, in
which nothing but one static program lies. It is the sandbox of each pod, and a shell,
an HTTP server and a client for tests. Archives are made once, by content.
"""

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.cluster.toolchains import cache

BUSYBOX = "localhost/busybox:1"
"""The image with a shell that is on every node."""

PROGRAM = Path("/bin/busybox")
"""Debian's busybox-static; one that is linked dynamically would find no library in the image."""

FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp", "www")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox() -> Path:
    """The archive of the busybox image, made if it hasn't been made of this program before."""
    program = PROGRAM.read_bytes()
    path = cache() / "images" / f"busybox-{hashlib.sha256(program).hexdigest()[:16]}.tar"
    if not path.exists():
        listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
        links = {f"bin/{name}": "busybox" for name in listed.stdout.split() if name != "busybox"}
        archive(
            path, BUSYBOX, files={"bin/busybox": program}, links=links, entrypoint=["/bin/sleep", "infinity"]
        )
    return path


def archive(
    path: Path, name: str, *, files: Mapping[str, bytes], links: Mapping[str, str], entrypoint: Sequence[str]
) -> None:
    """Write an image of a single layer with these programs in it; in one step of the file system."""
    layer = _layer(files, links)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    parts = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(draft, "w") as tar:
        for part, content in parts.items():
            _add(tar, part, content, mode=0o644)
    draft.replace(path)


def _layer(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in FOLDERS:
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        for name, content in files.items():
            _add(tar, name, content, mode=0o755)
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))
