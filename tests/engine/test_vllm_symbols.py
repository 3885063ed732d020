"""The vLLM that the plugin is for has all that it relies on; the next one differs as the page says."""

from pathlib import Path

import pytest

from testbed.engines import vllm_sources
from testbed.engines.retention_symbols import RETENTION_SYMBOLS
from testbed.engines.scheduler_symbols import SCHEDULER_SYMBOLS
from testbed.engines.venvs import ROOT, Venv
from testbed.engines.vllm_symbols import SYMBOLS, missing, subclasses

PAGE = (ROOT / "docs" / "experts-vllm.md").read_text()
SCHEDULER_PAGE = (ROOT / "docs" / "kv-vllm.md").read_text()


@pytest.fixture(scope="module")
def installed(engine_venv: Venv) -> Path:
    (found,) = engine_venv.path.glob("lib/python3*/site-packages")
    return found


@pytest.fixture(scope="module")
def following(engine_venv: Venv) -> Path:
    """Asks for the engine only for its mark: it is as seldom wanted."""
    return vllm_sources.ensure(vllm_sources.NEXT)


def test_the_version_that_the_plugin_is_for_has_all(installed: Path) -> None:
    assert missing(installed, SYMBOLS + SCHEDULER_SYMBOLS + RETENTION_SYMBOLS) == []


def test_the_next_version_has_all_but_what_the_page_lists(following: Path) -> None:
    for symbols, page in ((SYMBOLS, PAGE), (SCHEDULER_SYMBOLS + RETENTION_SYMBOLS, SCHEDULER_PAGE)):
        gone = missing(following, symbols)
        assert [str(symbol) for symbol in gone if f"`{symbol}`" not in page] == []


def test_the_page_names_all_runners_and_routers_that_are_new(installed: Path, following: Path) -> None:
    for base in ("MoERunner", "RoutedExperts", "BaseRouter"):
        before, after = (set(subclasses(one / "vllm", base)) for one in (installed, following))
        assert [name for name in sorted(after - before) if f"`{name}`" not in PAGE] == []
        assert [name for name in sorted(before - after) if f"`{name}`" not in PAGE] == []


def test_there_are_symbols() -> None:
    assert min(len(SYMBOLS), len(SCHEDULER_SYMBOLS), len(RETENTION_SYMBOLS)) > 30
