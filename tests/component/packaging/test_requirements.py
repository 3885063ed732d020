"""Pins, declarations and imports tell the same story."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LISTS = sorted((ROOT / "requirements").glob("*.txt"))
ENGINE = ("engine", "router")
"""Programs beside ours, which pin what they like; `python -m testbed.engines lock` writes their lists."""
PARTS = {"base": (), "operator": ("operator",), "agent": ("agent",), "sim": ("sim",)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

EXTRA_OF = {
    "policies": "base",
    "crds": "base",
    "operator": "operator",
    "agents": "agent",
    "simulator": "sim",
    "cli": "sim",
    "workers": "base",
}
"""Which installation each floor must run in."""

BY_THE_HOST = {
    "workers": {
        "aiohttp",
        "huggingface-hub",
        "numpy",
        "prometheus-client",
        "safetensors",
        "torch",
        "transformers",
        "vllm",
    },
    "policies": {"numpy"},
    "cli": {"torch", "transformers"},
}
"""What a floor imports of its host: vLLM and what it depends on, so the wheel needn't. The arithmetic on KV
memory runs in an engine or in the simulator, and gates are trained where there is torch."""

PART_OF = {"pydantic-core": "pydantic"}
"""What comes with another distribution in exactly one version, and is imported as its documentation says."""


def pins(path: Path) -> dict[str, str]:
    """The pinned versions of a list."""
    found = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def declared(part: str) -> list[Requirement]:
    """What pyproject.toml asks for in the base and one extra."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in PARTS[part] for line in extras[extra])]
    return [Requirement(line) for line in lines]


def all_declared() -> list[Requirement]:
    """What a checkout needs: all extras but the engine, all groups."""
    groups = [Requirement(line) for group in PROJECT["dependency-groups"].values() for line in group]
    return groups + [one for part in PARTS for one in declared(part)]


@cache
def imported(floor: str) -> frozenset[str]:
    """The distributions that a floor's code imports, its own left out."""
    tops: set[str] = set()
    for path in (ROOT / floor).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                tops.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops.add(str(node.module).partition(".")[0])
    theirs = {top for top in tops - sys.stdlib_module_names if not top.startswith("loadline_")}
    owners = packages_distributions()
    found = {canonicalize_name(owner) for top in theirs for owner in owners.get(top, [top])}
    return frozenset(PART_OF.get(name, name) for name in found)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_list_names_a_host(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(i|f|-index|-extra-index|-find)", text, re.MULTILINE)
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    "path", [path for path in LISTS if path.stem not in ENGINE], ids=lambda path: path.stem
)
def test_images_run_what_the_tests_ran(path: Path) -> None:
    assert pins(path).items() <= pins(ROOT / "requirements" / "dev.txt").items()


def test_the_router_is_the_one_that_engines_are_tested_with() -> None:
    engine, router = (pins(ROOT / "requirements" / f"{name}.txt") for name in ENGINE)
    assert "vllm-router" in router
    assert router.items() <= engine.items()


def test_the_pins_meet_what_is_declared() -> None:
    pinned = pins(ROOT / "requirements" / "dev.txt")
    unmet = [
        str(one)
        for one in all_declared()
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"), prereleases=True)
    ]
    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("part", PARTS)
def test_each_list_holds_what_its_extra_declares(part: str) -> None:
    asked = {canonicalize_name(one.name) for one in declared(part)}
    assert asked <= pins(ROOT / "requirements" / f"{part}.txt").keys(), "run `make lock`"


@pytest.mark.parametrize("floor", EXTRA_OF)
def test_a_floor_imports_only_what_its_extra_declares(floor: str) -> None:
    asked = {canonicalize_name(one.name) for one in declared(EXTRA_OF[floor])}
    assert imported(floor) <= asked | BY_THE_HOST.get(floor, set())


@pytest.mark.parametrize("floor", EXTRA_OF)
def test_a_floor_is_counted_in_the_contracts(floor: str) -> None:
    (package,) = (found.parent.name for found in (ROOT / floor).glob("loadline_*/__init__.py"))
    contracts = (ROOT / ".importlinter").read_text()
    roots = contracts.partition("[importlinter:contract")[0]
    assert package in roots.split()
