"""
Which files of the checkout go into which image.

A build sees these files and no others, so their hash is the image's: whoever forgets one
here gets a build that fails, never an old image under a new name.
"""

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"

SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "policies",
    "crds",
    "operator",
    "agents",
    "simulator",
    "cli",
    "workers",
)
"""What the wheel is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image: the files that its build sees, what it stands on, and whether it takes the wheel."""

    name: str
    files: tuple[str, ...] = ()
    wheel: bool = False
    on: str | None = "base"

    @property
    def containerfile(self) -> Path:
        """What is done with the files."""
        return IMAGES / f"{self.name}.Containerfile"

    def inputs(self) -> Iterator[Path]:
        """All files that decide what comes out, in one order."""
        yield self.containerfile
        for name in (*self.files, *(SOURCES if self.wheel else ())):
            path = ROOT / name
            yield from sorted(found for found in _below(path) if found.is_file())


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="base", on=None),
        Recipe(name="loadline", files=("requirements/operator.txt", "requirements/agent.txt"), wheel=True),
        Recipe(name="router", files=("requirements/router.txt",)),
        Recipe(
            name="standin",
            files=(
                "testbed/__init__.py",
                "testbed/engines/__init__.py",
                "testbed/engines/standin",
                "images/standin",
            ),
        ),
        Recipe(name="pydantic", files=("requirements/base.txt",)),
        Recipe(name="worker", wheel=True, on="pydantic"),
    )
}


def digest(recipe: Recipe) -> str:
    """Twelve characters that change with anything that goes into the image."""
    told = hashlib.sha256(f"{recipe.name} {platform.machine()}\n".encode())
    if recipe.on is None:
        told.update((Path(__file__).with_name("bases.py")).read_bytes())
    else:
        told.update(digest(RECIPES[recipe.on]).encode())
    for path in recipe.inputs():
        told.update(f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111:o}\n".encode())
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()[:12]


def reference(recipe: Recipe, tag: str) -> str:
    """An image's name, as a pod asks for it; with `imagePullPolicy: Never`."""
    name = recipe.name if recipe.name == "loadline" else f"loadline-{recipe.name}"
    return f"localhost/{name}:{tag}"


def _below(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for found in path.rglob("*"):
        if "__pycache__" not in found.parts:
            yield found
