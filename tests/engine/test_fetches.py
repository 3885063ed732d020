"""The container that fetches a model, as a process, against a Hub of this machine that counts."""

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.engine_pods import PLAINLY
from loadline_operator.services.objects.engine_traits import HubModel
from loadline_operator.services.objects.model_sources import fetching, source_of
from testbed.engines.venvs import Venv

COMMIT = "c" * 40
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"w" * (8 << 20),
    "original/consolidated.pth": b"w" * 1000,
    "onnx/model.onnx": b"w" * 1000,
}
"""A repository as they often are: the weights, and the same again for other engines."""

SOURCE = source_of("hf://org/llm", Defaults(model_cache="/var/lib/models"))


class Hub(ThreadingHTTPServer):
    """As much of the Hub as a download asks for; `fetched` counts the files that it sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.fetched: Counter[str] = Counter()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(sends=False)

    def do_GET(self) -> None:
        self._answer(sends=True)

    def _answer(self, *, sends: bool) -> None:
        path, file = self.path.partition("?")[0].replace("/org/words/", "/org/llm/"), ""
        if f"/resolve/{COMMIT}/" in path:
            file = path.partition(f"/org/llm/resolve/{COMMIT}/")[2]
        if path.startswith("/api/models/org/llm/revision/"):
            self._send(json.dumps({"id": "org/llm", "sha": COMMIT, "siblings": []}).encode(), sends)
        elif path.startswith("/api/models/org/llm/tree/"):
            self._send(json.dumps([_entry(name) for name in FILES]).encode(), sends)
        elif file in FILES:
            self.server.fetched[self.path.replace(f"/resolve/{COMMIT}", "").removeprefix("/org/llm/")] += (
                sends
            )
            self._send(FILES[file], sends, **{"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_error(404)

    def _send(self, body: bytes, sends: bool, **headers: str) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if sends:
            self.wfile.write(body)


def _digest(name: str) -> str:
    return f"{list(FILES).index(name) + 1:040x}"


def _entry(name: str) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(FILES[name]), "oid": _digest(name)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def fetcher(venv: Venv, cache: Path, url: str, *others: HubModel) -> subprocess.Popen[str]:
    """The command of the init container, with the node's cache mounted."""
    assert SOURCE.hub is not None
    environment = {
        **{name: str(cache) for name in SOURCE.environment},
        "PATH": f"{venv.path / 'bin'}:{os.defpath}",
        "HOME": str(cache.parent),
        "HF_ENDPOINT": url,
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        PLAINLY["name"]: PLAINLY["value"],
    }
    return subprocess.Popen(
        fetching((SOURCE.hub, *others)),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


def test_pods_of_a_node_fetch_a_model_once(hub: Hub, engine_venv: Venv, tmp_path: Path) -> None:
    for one in [fetcher(engine_venv, tmp_path / "models", hub.url) for _ in range(3)]:
        ended(one)
    assert hub.fetched == {"config.json": 1, "model.safetensors": 1}
    snapshot = tmp_path / "models" / "models--org--llm" / "snapshots" / COMMIT
    assert (snapshot / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_tokenizer_comes_into_the_same_cache_without_its_weights(
    hub: Hub, engine_venv: Venv, tmp_path: Path
) -> None:
    ended(fetcher(engine_venv, tmp_path / "models", hub.url, HubModel("org/words", weights=False)))
    assert hub.fetched == {"config.json": 1, "model.safetensors": 1, "/org/words/config.json": 1}
    (found,) = (tmp_path / "models" / "models--org--words" / "snapshots").iterdir()
    assert [one.name for one in found.iterdir()] == ["config.json"]


def test_a_model_that_is_there_needs_no_hub(hub: Hub, engine_venv: Venv, tmp_path: Path) -> None:
    ended(fetcher(engine_venv, tmp_path / "models", hub.url))
    ended(fetcher(engine_venv, tmp_path / "models", "http://127.0.0.1:9"))


def test_a_hub_that_is_away_is_said(engine_venv: Venv, tmp_path: Path) -> None:
    process = fetcher(engine_venv, tmp_path / "models", "http://127.0.0.1:9")
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Error: Local entry not found. [Errno 111] Connection refused" in said
