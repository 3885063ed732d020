"""
Building an image with buildah, out of a store of its own.

What comes out is an archive in the cache, named by the hash of what went in; a second
build finds it there. No daemon, no registry, nobody else's images. The store keeps the
layers, so that a changed source costs its own layer only; it is emptied when it has grown
too big. `chroot` isolation needs no more than root has in a plain virtual machine, or in
most containers.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from testbed.cluster import debian
from testbed.cluster.errors import BuildFailed
from testbed.cluster.toolchains import cache
from testbed.images import bases
from testbed.images.recipes import RECIPES, ROOT, Recipe, digest, reference

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts, the build's pip trusts too: there may be a proxy between."""

TAIL_CHARACTERS = 2_000
ATTEMPTS = 5
KEPT = 3
"""Archives of an image, the one in use among them; some 300 MB each."""

STORE_BYTES = 8 * 10**9
"""Chosen: a dozen builds."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is built: its archive (`docker-archive`) and the name in it."""

    archive: Path
    name: str


class SourcesChanged(Exception):
    """Somebody wrote to the checkout while it was copied; the copy is neither the old nor the new."""


def ensure(name: str, console: Console | None = None) -> Image:
    """The image, built if it isn't in the cache; raises BuildFailed with the builder's last words."""
    recipe = RECIPES[name]
    for _ in range(ATTEMPTS):
        tag = digest(recipe)
        image = Image(place() / f"{name}-{tag}.tar", reference(recipe, tag))
        if image.archive.exists():
            image.archive.touch()
            return image
        base = ensure(recipe.on, console) if recipe.on else None
        with _turn(), contextlib.suppress(SourcesChanged):
            if not image.archive.exists():  # whoever had the turn before may have built it
                _build(recipe, base=base, image=image, tag=tag, console=console or Console(stderr=True))
                _forget_old(name)
            return image
    raise BuildFailed(f"the sources of image {name} change faster than they can be copied")


def place() -> Path:
    """Where archives lie."""
    return cache() / "images"


def _build(recipe: Recipe, *, base: Image | None, image: Image, tag: str, console: Console) -> None:
    if lacking := debian.missing(debian.IMAGE_PARTS):
        raise BuildFailed(f"images are made with {', '.join(lacking)}: {debian.HINT}")
    began_s = time.monotonic()
    console.print(f"image {recipe.name}: building")
    with tempfile.TemporaryDirectory(prefix=f".{recipe.name}-", dir=place()) as work, _store() as store:
        context, fresh = Path(work) / "context", Path(work) / "image.tar"
        _gather(recipe, context=context, work=Path(work))
        if digest(recipe) != tag:
            raise SourcesChanged
        options = _base(store, base) if base else []
        options += ["--isolation=chroot", "--layers", "--tag", image.name, *_network()]
        _buildah(store, "build", *options, "--file", str(recipe.containerfile), str(context))
        _buildah(store, "push", image.name, f"docker-archive:{fresh}:{image.name}")
        fresh.rename(image.archive)
    console.print(f"image {recipe.name}: built in {time.monotonic() - began_s:.0f} s")


def _forget_old(name: str) -> None:
    """Keep the archives used last; one of each change to the sources would fill a disk."""
    archives = sorted(place().glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[KEPT:]:
        archive.unlink(missing_ok=True)


def _gather(recipe: Recipe, *, context: Path, work: Path) -> None:
    """Copy what the build may see, and nothing else."""
    context.mkdir()
    for path in recipe.inputs():
        if not recipe.wheel or str(path.relative_to(ROOT)).startswith("requirements/"):
            target = context / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    if recipe.wheel:
        _run(
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "--target",
            "wheel",
            "--directory",
            str(context / "dist"),
        )
    if recipe.on is None:
        bases.write(context / "rootfs.tar", work)


def _base(store: Path, base: Image) -> list[str]:
    try:
        _buildah(store, "inspect", "--type=image", base.name)
    except BuildFailed:  # not in the store yet
        _buildah(store, "pull", "--quiet", f"docker-archive:{base.archive}")
    return ["--pull-never", "--build-arg", f"BASE={base.name}"]


def _network() -> list[str]:
    """What lets pip in a build reach what pip here reaches."""
    told = (
        [f"--build-arg=PIP_INDEX_URL={os.environ['PIP_INDEX_URL']}"] if "PIP_INDEX_URL" in os.environ else []
    )
    if AUTHORITIES.exists():
        told += [
            f"--volume={AUTHORITIES}:/run/authorities.crt:ro",
            "--build-arg=PIP_CERT=/run/authorities.crt",
        ]
    return told


def _buildah(store: Path, *arguments: str) -> None:
    own = ["--root", str(store), "--runroot", str(store.with_name("run")), "--storage-driver", "overlay"]
    _run("buildah", *own, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(
            f"{' '.join(command[:1])} failed:\n{(done.stdout + done.stderr)[-TAIL_CHARACTERS:]}"
        )


@contextmanager
def _store() -> Iterator[Path]:
    """Where layers are kept, new when it has grown too big; not mounted when nobody builds."""
    store = place() / "store"
    if store.exists() and _bytes(store) > STORE_BYTES:
        shutil.rmtree(store)
    try:
        yield store
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            point = line.split()[1]
            if point.startswith(str(store)):
                subprocess.run(["umount", point], check=False, capture_output=True)


def _bytes(directory: Path) -> int:
    told = subprocess.run(["du", "-sb", directory], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[0])


@contextmanager
def _turn() -> Iterator[None]:
    """One builder at a time; the lock goes with its holder, however that ends."""
    place().mkdir(parents=True, exist_ok=True)
    with (place() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
