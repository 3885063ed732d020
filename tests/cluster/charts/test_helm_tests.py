"""`helm test` says who does not answer; that it passes when all do is seen on a node, in a chart's life."""

import os
import sys
from collections.abc import Callable

import pytest

from demos.serving.helms import Helm, HelmFailed
from loadline_api import names
from testbed.chart_hooks import Hooks
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
