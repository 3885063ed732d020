"""One real engine with the plugin in it: what it tells, and what the stand-in copies of it."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadline_vllm.presence import package_version
from testbed.engines.processes import Engines, Server
from testbed.engines.standin import settings
from testbed.engines.standin.engines import Engine
from testbed.engines.venvs import Venv

pytestmark = pytest.mark.timeout(600)

CONSUMER = ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_consumer"}']


@pytest.fixture(scope="module")
def engine(engine_venv: Venv, tiny_model: Path, plugins: Path) -> Iterator[Server]:
    """An engine that would load KV, drains when it ends, and found the plugin."""
    with Engines(engine_venv, tiny_model, plugins=plugins) as engines:
        server = engines.start(
            "alone", "--shutdown-timeout", "60", role="kv_consumer", LOADLINE_SERVICE="chat"
        )
        server.wait()
        yield server


def names(metrics: str) -> set[str]:
    """The series' names and labels, without values."""
    return {line.rsplit(" ", 1)[0] for line in metrics.splitlines() if not line.startswith("#")}


def sorted_labels(series: str) -> str:
    """A series with its labels in one order."""
    name, _, labels = series.partition("{")
    return f"{name}{{{','.join(sorted(labels.rstrip('}').split(',')))}}}"


def test_the_plug_in_shows_in_the_engines_own_metrics(engine: Server) -> None:
    assert engine.metric("loadline:plugin_info", version=package_version()) == 1
    assert "loadline:plugin_off{" not in engine.metrics()


def test_an_answer_hangs_on_the_prompt_and_on_nothing_else(engine: Server) -> None:
    prompts = ("Where is the harbour?", "Where is the anchor?", "A")
    said = [engine.complete(prompt) for prompt in prompts]
    assert [engine.complete(prompt) for prompt in prompts] == said
    assert len(set(said)) == len(prompts)
    assert all(text.strip() and text.isascii() and text.isprintable() for text in said)


def test_all_that_the_stand_in_tells_an_engine_tells_too(engine: Server) -> None:
    engine.complete("Something, so that all series are born.", tokens=4)
    standin = Engine(settings.read([*CONSUMER, "--served-model-name", "tiny"], {}))
    told = set(map(sorted_labels, names(standin.metrics.text())))
    assert told - set(map(sorted_labels, names(engine.metrics()))) == set()


def test_a_draining_engine_ends_what_it_has_and_the_process(engine: Server) -> None:
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(engine.complete("Drain this.", tokens=48)))
    before = engine.metric("vllm:generation_tokens_total")
    asking.start()
    while engine.metric("vllm:generation_tokens_total") == before:
        pass
    engine.process.send(signal.SIGTERM)
    assert engine.process.wait(90) == 0
    asking.join()
    assert len(said[0].split()) == 48
