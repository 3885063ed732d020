"""Machine code is kept by all sources with compiled functions, so that none of it is stale."""

import ast
from pathlib import Path

import pytest

import loadline_sim
from loadline_sim.compiled import MARKS, sources_hash

FOLDER = Path(loadline_sim.__file__).parent


@pytest.mark.parametrize(
    "line", ["@compiled", "@compiled_making_arrays", "@handles(handlers.route, TokenQueues)"]
)
def test_a_change_of_any_compiled_source_is_another_hash(line: str, tmp_path: Path) -> None:
    source = tmp_path / "room" / "one.py"
    source.parent.mkdir()
    source.write_text(f"{line}\ndef one() -> int:\n    return 1\n")
    before = sources_hash(tmp_path)
    source.write_text(f"{line}\ndef one() -> int:\n    return 2\n")
    assert sources_hash(tmp_path) != before


def test_a_change_of_what_is_not_compiled_is_none(tmp_path: Path) -> None:
    before = sources_hash(tmp_path)
    (tmp_path / "page.py").write_text("TITLE = 1\n")
    assert sources_hash(tmp_path) == before


def test_every_module_that_compiles_is_marked() -> None:
    for path in FOLDER.rglob("*.py"):
        text = path.read_text("utf-8")
        if "import compiled" in text or "import handles\n" in text:
            assert any(mark in text.encode() for mark in MARKS), path


def test_no_function_without_memory_of_its_own_returns_an_array() -> None:
    for path in FOLDER.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef) and "compiled" in map(
                ast.unparse, function.decorator_list
            ):
                assert function.returns is not None
                returned = ast.unparse(function.returns).replace("tuple", "")
                assert set(returned) <= set("None bool int float [],"), f"{path}: {function.name}"
