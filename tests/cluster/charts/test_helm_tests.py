"""`helm test`: it passes when operator, API and service answer, and else says who does not."""

import os
import re
import sys
from collections.abc import Callable

import pytest

from demos.serving.helms import Helm, HelmFailed
from loadline_api import names
from testbed.chart_hooks import Hooks
from testbed.charts import ROOT
from testbed.cluster import ports
from testbed.cluster.bed import Bed

OPERATOR = "http://loadline-operator.loadline-system:9477"
SERVICE = "http://chat.prod:8000"

Start = Callable[[], str]
"""Starts a program on the bed; its URL."""


@pytest.fixture
def operator(quay: Bed) -> Start:
    """The real operator, under the account that the release has made."""

    def start() -> str:
        port, account = ports.free(), quay.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
        command = [sys.executable, "-m", "loadline_operator.main"]
        command += ["--kubeconfig", str(account.kubeconfig), "--metrics-port", str(port)]
        quay.spawn("operator", command, environment=dict(os.environ))
        return f"http://127.0.0.1:{port}"

    return start


@pytest.fixture
def engine(quay: Bed) -> Start:
    """A stand-in for an engine, which answers as vLLM does."""

    def start() -> str:
        port = ports.free()
        command = [sys.executable, "-m", "testbed.engines.standin", "serve", "/models/tiny"]
        command += ["--served-model-name", "chat", "--host", "127.0.0.1", "--port", str(port)]
        quay.spawn("engine", command, environment={**os.environ, "PYTHONPATH": str(ROOT)})
        return f"http://127.0.0.1:{port}"

    return start


def test_it_asks_the_operator_the_api_and_the_service(
    helm: Helm, hooks: Hooks, new: str, operator: Start, engine: Start
) -> None:
    helm("install", "loadline", new, "--create-namespace", "--set", "tests.service=prod/chat")
    hooks.addresses |= {OPERATOR: operator(), SERVICE: engine()}
    helm("test", "loadline")
    told = hooks.output["test"]
    assert "the operator is ready" in told
    assert "the API server serves inferenceservices, powerdomains, nodecapacities" in told
    assert re.search(r"completed \d+ tokens of chat in [\d.]+ s", told)


def test_it_leaves_nothing_behind(
    helm: Helm, hooks: Hooks, new: str, operator: Start, released: Callable[..., list[str]]
) -> None:
    helm("install", "loadline", new, "--create-namespace")
    hooks.addresses |= {OPERATOR: operator()}
    helm("test", "loadline")
    assert "loadline-test" not in released("pods", "serviceaccounts")


def test_an_operator_that_does_not_answer_fails_it(helm: Helm, hooks: Hooks, new: str) -> None:
    helm("install", "loadline", new, "--create-namespace", "--set", "tests.timeoutSeconds=2")
    hooks.addresses |= {OPERATOR: f"http://127.0.0.1:{ports.free()}"}
    with pytest.raises(HelmFailed):
        helm("test", "loadline")
    assert "error: Cannot connect to host" in hooks.output["test"]


def test_a_service_that_does_not_answer_fails_it(helm: Helm, hooks: Hooks, new: str, operator: Start) -> None:
    values = ("--set", "tests.service=prod/chat", "--set", "tests.timeoutSeconds=20")
    helm("install", "loadline", new, "--create-namespace", *values)
    operators = operator()
    hooks.addresses |= {OPERATOR: operators, SERVICE: operators}
    with pytest.raises(HelmFailed):
        helm("test", "loadline")
    assert "the operator is ready" in hooks.output["test"]
    assert f"GET {operators}/v1/models: 404" in hooks.output["test"]
