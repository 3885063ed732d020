"""Where an agent finds its API server and the right to ask it."""

import base64
import json
from pathlib import Path

import pytest

from loadline_agent.domain.self_signed_certificates import self_signed
from loadline_agent.kube import credentials
from loadline_policies.errors import InvalidInput


def kubeconfig(path: Path, user: dict[str, object], **cluster: object) -> Path:
    path.write_text(
        json.dumps(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
                "clusters": [{"name": "one", "cluster": {"server": "https://h:6443", **cluster}}],
                "users": [{"name": "me", "user": user}],
            }
        )
    )
    return path


def test_a_kubeconfig_with_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    found = credentials.find(kubeconfig(tmp_path / "config", {"tokenFile": "token"}), environ={})
    assert found.server == "https://h:6443"
    assert found.authorization() == {"Authorization": "Bearer t0ken"}


def test_a_kubeconfig_with_a_client_certificate(tmp_path: Path) -> None:
    key, certificate = self_signed("admin")
    user = {
        "client-key-data": base64.b64encode(key).decode(),
        "client-certificate-data": base64.b64encode(certificate).decode(),
    }
    data = base64.b64encode(certificate).decode()
    path = kubeconfig(tmp_path / "config", dict(user), **{"certificate-authority-data": data})
    found = credentials.find(environ={"KUBECONFIG": str(path)})
    assert found.ca_pem == certificate.decode()
    assert found.authorization() == {}
    found.tls()


@pytest.mark.parametrize(
    ("user", "fix"),
    [
        ({"exec": {"command": "aws"}}, "use tokenFile or a client certificate"),
        ({"client-key": "missing.pem"}, "give PEM that can be read"),
        ({"client-key-data": "%%%"}, "give PEM that can be read"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(tmp_path: Path, user: dict[str, object], fix: str) -> None:
    with pytest.raises(InvalidInput, match=fix):
        credentials.find(kubeconfig(tmp_path / "config", user), environ={})


def test_outside_of_a_pod_somebody_must_say_where(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--kubeconfig"):
        credentials.find(environ={})


def test_in_a_pod_the_service_account_says_it(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("pem")
    (tmp_path / "token").write_text("t0ken")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = credentials.in_cluster(environ, tmp_path)
    assert found.server == "https://[fd00::1]:443"
    assert found.ca_pem == "pem"
    assert found.authorization() == {"Authorization": "Bearer t0ken"}
