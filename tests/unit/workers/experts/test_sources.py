"""No line of the algorithms makes the host wait for the device, or imports the engine.

Traces show it too (tests/inside_engine), but only for what they reach.
"""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[4] / "workers" / "loadline_vllm" / "experts"
SOURCES = sorted(FOLDER.glob("*.py"))

READS_A_VALUE = {"item", "tolist", "numpy", "cpu", "cuda", "to_dense", "is_nonzero", "equal", "allclose"}
SHAPED_BY_VALUES = {
    "nonzero",
    "argwhere",
    "unique",
    "unique_consecutive",
    "masked_select",
    "bincount",
    "repeat_interleave",
}
HOST_NUMBERS = {"int", "float", "bool"}


def waits(source: str) -> list[str]:
    """What in a source waits for the device, as `name:line`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in READS_A_VALUE | SHAPED_BY_VALUES or (name == "where" and len(node.args) == 1):
                found.append(f"{name}:{node.lineno}")
        elif isinstance(node.func, ast.Name) and node.func.id in HOST_NUMBERS:
            found.append(f"{node.func.id}:{node.lineno}")
    return found


def test_there_are_sources() -> None:
    assert len(SOURCES) > 5


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_waits_for_the_device(path: Path) -> None:
    assert waits(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line", ["x.item()", "torch.nonzero(x)", "torch.where(x > 0)", "if bool(x): pass", "torch.bincount(x)"]
)
def test_what_waits_is_found(line: str) -> None:
    assert waits(line)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_engine_is_not_imported(path: Path) -> None:
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    packages = {(node.module or "").split(".")[0] for node in nodes}
    assert packages <= {"collections", "enum", "loadline_vllm", "math", "torch", "types", "typing"}
