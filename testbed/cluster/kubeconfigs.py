"""
Kubeconfigs: how a client finds the bed's API server and proves who it is.

One file an identity. The certificate of the server is embedded, so that a file can
be copied about; a token is referred to by its file, since the bed renews it there.
"""

import base64
import json
from pathlib import Path

from testbed.cluster.certificates import Pair


def by_certificate(path: Path, *, server: str, ca: Path, client: Pair) -> Path:
    """A kubeconfig whose user is the client certificate's common name."""
    user = {
        "client-certificate-data": _embedded(client.certificate),
        "client-key-data": _embedded(client.key),
    }
    return _write(path, server=server, ca=ca, user=user)


def by_token_file(path: Path, *, server: str, ca: Path, token: Path, namespace: str = "default") -> Path:
    """A kubeconfig whose user is whoever the token in the file names."""
    return _write(path, server=server, ca=ca, user={"tokenFile": str(token)}, namespace=namespace)


def _write(path: Path, *, server: str, ca: Path, user: dict[str, str], namespace: str = "default") -> Path:
    name = path.stem
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": _embedded(ca)}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))  # JSON is YAML too
    return path


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
