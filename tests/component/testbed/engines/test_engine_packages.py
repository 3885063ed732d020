"""What tests inside an engine import is in the engine's list of packages: a new one fails here at once."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import grimp

from testbed.engines.venvs import LIST, ROOT

OURS = (
    "loadline_sim",
    "loadline_policies",
    "loadline_api",
    "loadline_vllm",
    "loadline_cli",
    "benchmarks",
    "testbed",
)
INSIDE = ROOT / "tests" / "inside_engine"


def imported(file: Path) -> set[str]:
    """Every module that a file names in an import, and what it takes from each, which may be one too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{one.name}" for one in node.names)
    return found


def test_the_engine_has_all_packages_that_its_tests_import() -> None:
    graph = grimp.build_graph(
        *OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    named = {one for file in INSIDE.rglob("*.py") for one in imported(file)}
    used = {one.partition(".")[0] for one in named}
    for one in named & graph.modules:
        used.update(above for above in graph.find_upstream_modules(one) if graph.is_module_squashed(above))
    pinned = set(re.findall(r"^([\w.-]+)==", LIST.read_text("utf-8"), re.M))
    owners = metadata.packages_distributions()
    outside = used - set(OURS) - set(sys.stdlib_module_names) - {"tests"}
    assert {"numpy", "pyarrow", "pydantic"} <= outside
    missing = {
        one
        for one in outside
        if not pinned & {name.lower().replace("_", "-") for name in owners.get(one, [one])}
    }
    assert missing <= {"vllm"}, "add them to testbed/engines/pyproject.toml"
