"""`loadline drill` against an API server of a few paths: what it writes there, and how it ends."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadline_api.names import DRILL_ANNOTATION
from loadline_api.visible_texts import visible
from loadline_cli import drills, main
from loadline_cli.exits import Exit

DOMAINS = "/apis/loadline.dev/v1alpha1/powerdomains"
CAPACITIES = "/apis/loadline.dev/v1alpha1/nodecapacities"
ENFORCING = {"type": "Enforcing", "status": "True", "reason": "ModeEnforce", "message": ""}
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
DATE = "Fri, 02 Jan 2026 03:04:05 GMT"
ORDER = "2026-01-02T03:04:05Z/5"
NODE = {"node": "node-0", "gpus": 1, "gpusAtSafe": 1, "afterMilliseconds": 1400, "overWatts": 0}
HELD = {
    "nodes": 1, "nodesAtSafe": 1, "gpus": 1, "gpusAtSafe": 1, "safeWatts": 9_800, "budgetWatts": 10_000,
    "wattsBefore": 9_500, "highestWatts": 9_700, "listed": [NODE],
}  # fmt: skip
Object = dict[str, Any]


class Api:
    """One PowerDomain and its node; `answers` are what the status says after an order, look by look."""

    def __init__(self) -> None:
        self.domain: Object = {
            "metadata": {"name": "row-a"},
            "spec": {"budgetWatts": 10_000, "mode": "Enforce"},
            "status": {
                "members": ["node-0"], "coordinator": "node-0", "level": "Normal", "safeWatts": 9_800,
                "reactionMilliseconds": 7_850, "conditions": [ENFORCING],
            },
        }  # fmt: skip
        self.capacity = {
            "metadata": {"name": "node-0"},
            "spec": {"certificate": PEM, "address": "10.0.0.1:9476"},
            "status": {"domain": "row-a", "gpus": [{"uuid": "GPU-0"}], "conditions": [ENFORCING]},
        }
        self.answers: list[Object] = []
        self.patches: list[tuple[str, Any]] = []
        self.fails = 0
        self.forbids = False

    @property
    def annotation(self) -> str | None:
        found: str | None = self.domain["metadata"].get("annotations", {}).get(DRILL_ANNOTATION)
        return found

    def get(self, path: str) -> tuple[int, Object]:
        if path == f"{DOMAINS}/row-a":
            if self.annotation is not None and self.answers:
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                self.domain["status"]["drill"] = {"order": self.annotation, **answer}
            return 200, self.domain
        if path == DOMAINS:
            return 200, {"items": [self.domain]}
        if path == CAPACITIES:
            return 200, {"items": [self.capacity]}
        return 404, {"message": "not found"}

    def patch(self, kind: str, body: Any) -> tuple[int, Object]:
        self.patches.append((kind, body))
        if self.forbids:
            return 403, {"message": "powerdomains is forbidden"}
        metadata = self.domain["metadata"]
        if kind == "application/merge-patch+json":
            metadata["annotations"] = body["metadata"]["annotations"]
            return 200, self.domain
        test, _ = body
        if test["value"] != self.annotation:
            return 422, {"message": "test failed"}
        del metadata["annotations"]
        return 200, self.domain


@pytest.fixture
def api() -> Iterator[Api]:
    """The API server, and a kubeconfig that leads to it in KUBECONFIG."""
    held = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if held.fails and held.annotation is not None:
                held.fails -= 1
                self.answer(503, {"message": "try later"})
            else:
                self.answer(*held.get(self.path.partition("?")[0]))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(*held.patch(self.headers["Content-Type"], body))

        def answer(self, status: int, body: Object) -> None:
            text = json.dumps(body).encode()
            self.send_response_only(status)
            self.send_header("Date", DATE)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.port = server.server_address[1]  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


Ended = tuple[int, str, str]
Loadline = Callable[..., Ended]


@pytest.fixture
def drill(
    api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Loadline:
    """Run `loadline drill row-a …`; looks come quickly."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "hall",
        "clusters": [{"name": "hall", "cluster": {"server": f"http://127.0.0.1:{api.port}"}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "hall", "context": {"cluster": "hall", "user": "me"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    monkeypatch.setattr(drills, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(drills, "TAKEN_WITHIN_S", 0.3)
    monkeypatch.setattr(drills, "ENDED_WITHIN_S", -4.5)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, domain: str = "row-a") -> Ended:
        told = ["drill", domain, "--seconds", "5", "--kubeconfig", str(path), *arguments]
        code = main.run(told, "loadline")
        out, err = capsys.readouterr()
        return int(code), out, err

    return run


def test_a_row_that_falls_as_promised_is_0_and_the_order_is_taken_back(api: Api, drill: Loadline) -> None:
    api.answers = [{"outcome": "Holding", **HELD, "nodesAtSafe": 0}, {"outcome": "Done", **HELD}]
    code, out, err = drill("--yes")
    assert code == Exit.OK
    assert ["node-0", "1", "of", "1", "1.4", "0", "yes"] in [line.split() for line in out.splitlines()]
    assert "Holding: 0 of 1 nodes at their safe limits" in err
    assert api.patches[0][1] == {"metadata": {"annotations": {DRILL_ANNOTATION: ORDER}}}
    assert api.annotation is None


def test_a_row_that_doesnt_is_1_and_the_report_says_what(api: Api, drill: Loadline, tmp_path: Path) -> None:
    above = {**NODE, "gpusAtSafe": 0, "overWatts": 40}
    del above["afterMilliseconds"]
    api.answers = [{"outcome": "Done", **HELD, "gpusAtSafe": 0, "nodesAtSafe": 0, "listed": [above]}]
    page = tmp_path / "drill.md"
    code, out, _ = drill("--yes", "-o", "json", "--report", str(page))
    assert code == Exit.FAILURE
    assert json.loads(out)["met"] is False
    assert "| node-0 | 0 of 1 | unknown | 40 | no |" in page.read_text()


def test_a_report_may_be_json(api: Api, drill: Loadline, tmp_path: Path) -> None:
    api.answers = [{"outcome": "Done", **HELD}]
    page = tmp_path / "drill.json"
    assert drill("--yes", "--report", str(page))[0] == Exit.OK
    assert json.loads(page.read_text())["met"] is True


def test_a_dry_run_orders_nothing(api: Api, drill: Loadline) -> None:
    code, out, _ = drill("--dry-run")
    assert (code, api.patches) == (Exit.OK, [])
    assert "at most 9,800 W (safeWatts), of a budget of 10,000 W" in out
    assert json.loads(drill("--dry-run", "-o", "json")[1])["plan"]["safe_watts"] == 9_800


def test_without_a_terminal_somebody_must_have_agreed(api: Api, drill: Loadline) -> None:
    code, out, err = drill()
    assert (code, out, api.patches) == (Exit.COULD_NOT_RUN, "", [])
    assert "stdin is not a terminal" in err
    assert "`--yes`" in err


@pytest.mark.parametrize(("said", "code"), [(True, Exit.OK), (False, Exit.COULD_NOT_RUN)])
def test_it_asks_before_it_acts(
    said: bool, code: Exit, api: Api, drill: Loadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers = [{"outcome": "Done", **HELD}]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: said)
    assert drill()[0] == code
    assert bool(api.patches) is said


def test_what_the_coordinator_refuses_is_2_with_its_reason(api: Api, drill: Loadline) -> None:
    api.answers = [{"outcome": "Refused", "message": "nodes don't report: node-3"}]
    code, _, err = drill("--yes")
    assert code == Exit.COULD_NOT_RUN
    assert "the coordinator refused the drill: nodes don't report: node-3" in err
    assert api.annotation is None


def test_an_order_that_nobody_takes_up_is_taken_back(api: Api, drill: Loadline) -> None:
    code, _, err = drill("--yes")
    assert code == Exit.COULD_NOT_RUN
    assert "no coordinator accepted the order" in err
    assert api.annotation is None


def test_a_coordinator_that_falls_silent_leaves_what_isnt_known_unmet(api: Api, drill: Loadline) -> None:
    api.answers = [{"outcome": "Holding", **HELD}]
    code, out, _ = drill("--yes")
    assert code == Exit.FAILURE
    assert ["outcome", "Holding", "Done", "no"] in [line.split() for line in out.splitlines()]
    assert api.annotation is None


def test_a_hiccup_of_the_api_server_ends_nothing(api: Api, drill: Loadline) -> None:
    api.fails = 3
    api.answers = [{"outcome": "Done", **HELD}]
    code, _, err = drill("--yes")
    assert code == Exit.OK
    assert "the API server returned 503: try later; retrying" in err


def test_who_may_not_is_told_which_role_may(api: Api, drill: Loadline) -> None:
    api.forbids = True
    code, _, err = drill("--yes")
    assert code == Exit.COULD_NOT_RUN
    assert "403: powerdomains is forbidden" in err
    assert "loadline-admin" in err


def test_an_order_of_somebody_elses_is_left(api: Api, drill: Loadline) -> None:
    other = "2026-01-02T03:04:06Z/30"
    api.answers = [{"outcome": "Done", **HELD}]

    def patched(kind: str, body: Any) -> tuple[int, Object]:
        if kind != "application/merge-patch+json":
            api.domain["metadata"]["annotations"] = {DRILL_ANNOTATION: other}
        return Api.patch(api, kind, body)

    api.patch = patched  # type: ignore[method-assign]
    assert drill("--yes")[0] == Exit.OK
    assert api.annotation == other


def test_ctrl_c_takes_the_order_back(api: Api, drill: Loadline, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loadline_cli.drills.time.sleep", interrupted)
    assert drill("--yes")[0] == Exit.INTERRUPTED
    assert len(api.patches) == 2
    assert api.annotation is None


@pytest.mark.parametrize(
    ("arguments", "domain", "said"),
    [
        ((), "row-b", "there is no PowerDomain `row-b`\nhint: use one of: row-a"),
        (("--context", "nowhere"), "row-a", "the kubeconfig names no usable cluster"),
        (("--seconds", "31"), "row-a", "less than or equal to 30"),
    ],
)
def test_what_cant_be_run_is_2_and_says_what_to_do(
    arguments: tuple[str, ...], domain: str, said: str, drill: Loadline
) -> None:
    code, out, err = drill(*arguments, domain=domain)
    assert (code, out) == (Exit.COULD_NOT_RUN, "")
    assert said in err


ODD = "held \x1b[2J\x07 [/x] :rocket: \u202e \x9b31m 🚀"
SHOWN = r"held \x1b[2J\x07 [/x] :rocket: \u202e \x9b31m 🚀"


def test_what_the_cluster_says_does_nothing_to_a_terminal(
    api: Api, drill: Loadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by control characters nor by what rich takes for markup, which ended the command."""
    monkeypatch.setenv("COLUMNS", "300")
    node = {**NODE, "node": ODD}
    api.answers = [{"outcome": "Done", **HELD, "message": ODD, "listed": [node]}]
    code, out, err = drill("--yes")
    assert code == Exit.OK
    assert f"Done: {SHOWN}" in out.splitlines()
    assert out.count(SHOWN) == 2
    assert visible(out.replace("\n", "")) == out.replace("\n", "")
    assert visible(err.replace("\n", "")) == err.replace("\n", "")


def test_a_refusal_by_the_cluster_does_nothing_to_a_terminal(api: Api, drill: Loadline) -> None:
    api.answers = [{"outcome": "Refused", "message": ODD}]
    code, _, err = drill("--yes")
    assert code == Exit.COULD_NOT_RUN
    assert f"error: the coordinator refused the drill: {SHOWN}" in err.splitlines()


def test_json_does_nothing_to_a_terminal_and_is_as_it_was(api: Api, drill: Loadline) -> None:
    api.answers = [{"outcome": "Done", **HELD, "message": ODD}]
    _, out, _ = drill("--yes", "-o", "json")
    assert json.loads(out)["drill"]["message"] == ODD
    assert visible(out.replace("\n", "")) == out.replace("\n", "")
