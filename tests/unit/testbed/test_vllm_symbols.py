"""The list of what the plugin uses of vLLM is whole, and the search in a source finds what is there only."""

import ast
from pathlib import Path

import pytest

from testbed.engines.retention_symbols import RETENTION_SYMBOLS
from testbed.engines.scheduler_symbols import SCHEDULER_SYMBOLS
from testbed.engines.vllm_symbols import SYMBOLS, Symbol, missing, subclasses

PLUGIN = Path(__file__).parents[3] / "workers" / "loadline_vllm"

SOURCE = """
from elsewhere import borrowed as lent

count: int = 1
if count:
    def chosen(a, *, b): ...

class Base:
    held: bool = False
    def __init__(self, top_k, *, state=None):
        self.top_k = top_k
        self.other.unset = 1
    @property
    def shown(self): return self.read

class Derived(Base): ...
class Twice(Base, object): ...
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "layers.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lent", ()),
        ("count", ()),
        ("chosen", ("a", "b")),
        ("Base", ()),
        ("Base.held", ()),
        ("Base.top_k", ()),
        ("Base.shown", ()),
        ("Base.__init__", ("top_k", "state")),
    ],
)
def test_what_is_there_is_found(source: Path, name: str, parameters: tuple[str, ...]) -> None:
    assert missing(source, [Symbol("vllm.layers", name, parameters)]) == []


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        ("vllm.layers", "borrowed", ()),
        ("vllm.layers", "gone", ()),
        ("vllm.layers", "Base.unset", ()),
        ("vllm.layers", "Base.read", ()),
        ("vllm.layers", "Gone.held", ()),
        ("vllm.layers", "Base.__init__", ("top_k", "more")),
        ("vllm.layers", "Base.top_k", ("value",)),
        ("vllm.gone", "count", ()),
    ],
)
def test_what_is_not_there_is_missing(
    source: Path, module: str, name: str, parameters: tuple[str, ...]
) -> None:
    symbol = Symbol(module, name, parameters)
    assert missing(source, [symbol]) == [symbol]


def test_subclasses_have_the_base_alone(source: Path) -> None:
    assert subclasses(source, "Base") == ["Derived"]


@pytest.mark.parametrize(
    ("part", "symbols"),
    [
        ("expert_layers", SYMBOLS),
        ("admission", SCHEDULER_SYMBOLS),
        ("retention", RETENTION_SYMBOLS + SCHEDULER_SYMBOLS + SYMBOLS),
    ],
)
def test_all_that_the_plugin_imports_of_vllm_is_listed(part: str, symbols: tuple[Symbol, ...]) -> None:
    """Members of classes can't be found like this; who uses one adds it to the list."""
    listed = {symbol.module for symbol in symbols} | {str(symbol) for symbol in symbols}
    listed |= {f"{symbol.module}.{symbol.name.split('.')[0]}" for symbol in symbols}
    imported = {
        f"{node.module}.{name.name}"
        for path in (PLUGIN / part).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vllm")
        for name in node.names
    }
    assert imported
    assert imported - listed == set()
