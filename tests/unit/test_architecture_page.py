"""Every module and folder that docs/architecture.md names is there: a move that forgets the page fails."""

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
)
THERE = [
    f"/{path.relative_to(ROOT).with_suffix('').as_posix()}/"
    for tree in TREES
    for path in (ROOT / tree).rglob("*")
    if "__pycache__" not in path.parts
]


def named() -> list[str]:
    """What stands in backticks and has a slash, as `kube/work_queues` or `agents/…/kube`, but labels."""
    found = re.findall(r"`([a-z_/….]+/[a-z_/.]+)`", PAGE)
    return sorted(
        {name.removesuffix(".py").replace("…", "") for name in found if "." not in name.split("/")[0]}
    )


@pytest.mark.parametrize("name", named())
def test_what_the_page_names_is_there(name: str) -> None:
    first, _, rest = name.partition("//")
    ends = f"/{rest or first}/".replace("//", "/")
    begins = f"/{first}/" if rest else ""
    assert any(begins in path and f"/{ends.strip('/')}/" in path for path in THERE)
