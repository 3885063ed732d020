"""The pages that people read: their links lead somewhere, and what README has them type is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_group

from loadline_api.inference_services import InferenceServiceSpec
from loadline_api.names import RESOURCES
from loadline_api.power_domains import PowerDomainSpec
from loadline_cli.app import app
from testbed import pages

ROOT = Path(__file__).parents[2]
README = pages.README.read_text("utf-8")
BLOCKS = list(pages.blocks(pages.README))
FOLDERS = ("charts", "docs", "examples", "simulator", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
SPECS: dict[str, type[BaseModel]] = {"PowerDomain": PowerDomainSpec, "InferenceService": InferenceServiceSpec}


def typed(pattern: str) -> set[str]:
    """What README says to type, in blocks and in sentences, as far as it looks like this."""
    code = [command for block in BLOCKS if block.language == "console" for command in block.commands]
    code += re.findall(r"`([^`\n]+)`", README)
    return {found for text in code for found in re.findall(pattern, text)}


def without_blocks(page: Path) -> str:
    """A page without its blocks of code; a bar divides a table also inside a sentence's code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without any code."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(page))


def anchors(page: Path) -> set[str]:
    """The fragments that renderers make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        target, _, fragment = link.partition("#")
        path = page.parent / target if target else page
        if "://" in link or (path.exists() and (not fragment or fragment in anchors(path))):
            continue
        broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_of_a_page_is_as_wide_as_its_head(page: Path) -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", without_blocks(page), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_every_target_of_make_that_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {each for one in typed(r"\bmake ((?:[a-z][a-z-]*\s?)+)") for each in one.split()}
    assert {"images", "push", "demo"} <= named
    assert named - targets == set()


def test_every_value_that_readme_sets_is_the_charts() -> None:
    values = yaml.safe_load((ROOT / "charts" / "loadline" / "values.yaml").read_text("utf-8"))
    named = typed(r"--set '?([a-zA-Z.]+)")
    assert "image.repository" in named
    assert [name for name in named if not has(values, name)] == []


def has(values: Any, name: str) -> bool:
    """Whether the chart has a value of that name."""
    for part in name.split("."):
        if values == {}:  # anything may be given there
            return True
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def test_every_command_of_loadline_that_readme_names_is_there() -> None:
    commands = get_group(app).commands
    assert typed(r"\bloadline ([a-z]+) [a-z-]") <= set(commands)
    assert {"drill", "policies"} <= typed(r"\bloadline ([a-z]+) [a-z-]")


def test_readme_asks_for_kinds_by_their_full_names() -> None:
    asked = typed(r"kubectl (?:get|describe|patch) ([a-z.]+)")
    assert asked == {resource.full_name for resource in RESOURCES}


@pytest.mark.parametrize(
    "block", [one for one in BLOCKS if one.language == "yaml"], ids=lambda block: block.section
)
def test_a_manifest_of_readme_is_taken(block: pages.Block) -> None:
    manifest = yaml.safe_load(block.text)
    SPECS[manifest["kind"]].model_validate(manifest["spec"])


def test_readme_shows_each_file_that_it_applies() -> None:
    assert typed(r"kubectl apply --filename (\S+)") == {block.file for block in BLOCKS if block.file}
