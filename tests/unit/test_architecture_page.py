"""The page of the architecture is true of the tree: what it names is there, and every folder has its layers.

Of names only those with a slash are compared (`kube/work_queues`, `hooks/`); a bare word might be a method.
"""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TREES = (
    "policies",
    "crds",
    "operator",
    "agents",
    "simulator",
    "workers",
    "cli",
    "testbed",
    "demos",
    "benchmarks",
    "reference_pages",
)
THERE = [
    f"/{path.relative_to(ROOT).with_suffix('').as_posix()}/"
    for tree in (*TREES, "tests")
    for path in (ROOT / tree).rglob("*")
    if "__pycache__" not in path.parts
]


def named() -> list[str]:
    """What stands in backticks and has a slash, as `kube/work_queues`, `hooks/`, `agents/…/kube`."""
    found = re.findall(r"`([a-z_/….]+/[a-z_/….]*)`", PAGE)
    return sorted(
        {name.removesuffix(".py").replace("…", "") for name in found if "." not in name.split("/")[0]}
    )


def packages() -> list[str]:
    """Every folder with Python in it, as a dotted name: the folders that import-linter can see."""
    folders = {path.parent for tree in TREES for path in (ROOT / tree).rglob("*.py")}
    names = (folder.relative_to(ROOT).as_posix() for folder in folders)
    inside = (re.sub(r"^[a-z]+/(?=loadline_)", "", name).replace("/", ".") for name in names)
    return sorted(inside)


def exhaustive_containers() -> set[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return {
        contract["containers"].strip()
        for contract in contracts.values()
        if contract.get("type") == "layers" and contract.get("exhaustive") == "true"
    }


def test_every_folder_has_its_layers_exhaustively() -> None:
    assert set(packages()) == exhaustive_containers()


@pytest.mark.parametrize("name", named())
def test_what_the_page_names_is_there(name: str) -> None:
    first, _, rest = name.partition("//")
    ends = f"/{rest or first}/".replace("//", "/")
    begins = f"/{first}/" if rest else ""
    assert any(begins in path and f"/{ends.strip('/')}/" in path for path in THERE)
