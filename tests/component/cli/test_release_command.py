"""`loadline release` over a kubectl that answers from files: what it asks, orders, says, and how it ends."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadline_cli import main
from loadline_cli.exits import Exit

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KUBECTL = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
asked = [one for one in sys.argv[1:] if not one.startswith("--request-timeout")]
with open(here / "asked", "a") as file:
    print(json.dumps(asked), file=file)
answers = json.loads((here / "answers").read_text())
verb = asked[next(i for i, one in enumerate(asked) if not one.startswith("--"))]
word = verb if verb == "exec" else asked[asked.index("get") + 1].partition(".")[0]
out, error, code = answers[word]
print(out, end="")
print(error, end="", file=sys.stderr)
sys.exit(code)
"""
Ended = tuple[int, str, str]
Answers = dict[str, tuple[str, str, int]]


def capacity(*, status: str = "True", **gpu: int) -> str:
    enforcing = {"type": "Enforcing", "status": status, "reason": "ModeEnforce", "message": ""}
    told: dict[str, Any] = {
        "metadata": {"name": "berth-1"},
        "spec": {"certificate": PEM, "address": "10.0.0.1:9476"},
        "status": {"domain": "row-a", "gpus": [{"uuid": "GPU-0", **gpu}], "conditions": [enforcing]},
    }
    return json.dumps(told)


HELD = capacity(minWatts=100, maxWatts=700, enforcedWatts=420)
ANSWERS: Answers = {
    "pods": ("agent-x\n", "", 0),
    "nodecapacities": (HELD, "", 0),
    "exec": ("released\n", "", 0),
}


@pytest.fixture
def release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run `loadline release --node berth-1 …` with these answers instead of the good ones."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options: str, **answers: tuple[str, str, int]) -> Ended:
        (tmp_path / "answers").write_text(json.dumps({**ANSWERS, **answers}))
        code = main.run(["release", "--node", "berth-1", *options], "loadline")
        out, error = capsys.readouterr()
        return int(code), out, error

    return run


def orders(tmp_path: Path) -> list[list[str]]:
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    return [one for one in asked if "exec" in one]


def test_it_orders_the_nodes_own_agent_and_says_what_came_of_it(
    release: Callable[..., Ended], tmp_path: Path
) -> None:
    code, out, error = release("--yes")
    assert (code, out) == (Exit.OK, "released\n")
    assert "its 1 GPUs may draw up to 280 W more than their limits allow now" in error
    assert "PowerDomain row-a sets limits again if it selects this node" in error
    (order,) = orders(tmp_path)
    command = ["loadline-agent", "release", "--now"]
    assert order == ["--namespace=loadline-system", "exec", "agent-x", "--container=agent", "--", *command]


def test_another_cluster_and_namespace_are_kubectls_own_options(
    release: Callable[..., Ended], tmp_path: Path
) -> None:
    release("--yes", "--namespace", "harbour", "--context", "hall", "--kubeconfig", "some/file")
    (order,) = orders(tmp_path)
    assert order[:4] == ["--namespace=harbour", "--kubeconfig=some/file", "--context=hall", "exec"]


def test_what_was_left_behind_fails_and_is_told(release: Callable[..., Ended]) -> None:
    left = "LeftBehind: GPU-0: in force 420 W, found 700 W\n"
    code, out, error = release("--yes", exec=("released\n", left, 1))
    assert (code, out) == (Exit.FAILURE, "released\n")
    assert error.endswith(left)


@pytest.mark.parametrize(
    ("published", "sentence"),
    [
        ("", "node berth-1 has no NodeCapacity"),
        ("{}", "can't parse the NodeCapacity of berth-1"),
        (capacity(status="False"), "the command orders a release all the same"),
        (capacity(), "its 1 GPUs may draw up to their own maximum"),
    ],
)
def test_it_works_whatever_the_node_has_published(
    release: Callable[..., Ended], published: str, sentence: str
) -> None:
    code, out, error = release("--yes", nodecapacities=(published, "", 0))
    assert (code, out) == (Exit.OK, "released\n")
    assert sentence in error


def test_where_no_agent_runs_it_says_what_to_run_on_the_node(
    release: Callable[..., Ended], tmp_path: Path
) -> None:
    code, _, error = release("--yes", pods=("", "", 0))
    assert code == Exit.COULD_NOT_RUN
    assert "no Loadline agent runs on node `berth-1`" in error
    assert "`loadline-agent release --state /var/lib/loadline` on the node" in error
    assert orders(tmp_path) == []


@pytest.mark.parametrize("options", [("--dry-run",), ()], ids=["a dry run", "nobody to ask"])
def test_nothing_is_ordered_without_a_yes(
    release: Callable[..., Ended], tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, _, _ = release(*options)
    assert code == (Exit.OK if options else Exit.COULD_NOT_RUN)
    assert orders(tmp_path) == []


def test_what_kubectl_says_against_it_is_told(release: Callable[..., Ended]) -> None:
    code, _, error = release("--yes", pods=("", "pods is forbidden\n", 1))
    assert code == Exit.COULD_NOT_RUN
    assert "error: pods is forbidden" in error


def test_a_missing_kubectl_is_told(release: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, error = release("--yes")
    assert code == Exit.COULD_NOT_RUN
    assert "kubectl isn't installed" in error
