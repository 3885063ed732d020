"""
Where the API server is, and who we are to it.

A pod finds both in its service account's directory, a process outside in a kubeconfig.
Either way the token is a file that somebody else renews, so what is kept here is its
path. Of a kubeconfig only what the agent may be given is read: a server, its authority,
and a token, a token's file or a client certificate. Programs that fetch credentials are
refused by name, since an agent must not start any.

`tls()` makes the one TLS context of the client; it trusts the authority given and no
other, so the system's bundle is never loaded.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadline_policies.errors import InvalidInput

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a kubelet mounts token and authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One API server and one identity.

    `ca_pem` is the server's authority; without one the system's are trusted.
    """

    server: str
    ca_pem: str = ""
    token: str = ""
    token_file: Path | None = None
    certificate_pem: str = ""
    key_pem: str = ""

    def authorization(self) -> dict[str, str]:
        """The header that proves who we are; the token's file is read anew each time."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext:
        """A context that trusts the authority and shows the client's certificate, if there is one."""
        context = ssl.create_default_context(cadata=self.ca_pem or None)
        if self.certificate_pem:
            # ssl reads keys from files only
            with tempfile.TemporaryDirectory(prefix="loadline-") as directory:
                pair = Path(directory, "pair.pem")
                pair.touch(mode=0o600)
                pair.write_text(f"{self.key_pem}\n{self.certificate_pem}\n")
                context.load_cert_chain(pair)
        return context


def find(kubeconfig: Path | None = None, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Credentials from the file given, else from KUBECONFIG, else from the pod.

    Raises InvalidInput when there is none or it can't be used.
    """
    if kubeconfig is None and environ.get("KUBECONFIG"):
        kubeconfig = Path(environ["KUBECONFIG"])
    return from_kubeconfig(kubeconfig) if kubeconfig is not None else in_cluster(environ)


def in_cluster(environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> Credentials:
    """Credentials that a kubelet gave the pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise InvalidInput("kubeconfig", "", fix="give --kubeconfig or set KUBECONFIG outside of a pod")
    authority = directory / "ca.crt"
    if not authority.exists():
        raise InvalidInput(
            "serviceaccount", str(authority), fix="let the pod mount its service account's token"
        )
    address = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{address}:{port}", ca_pem=authority.read_text(), token_file=directory / "token"
    )


def from_kubeconfig(path: Path) -> Credentials:
    """Credentials of the current context."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInput("kubeconfig", str(path), fix=f"give one that can be read ({error})") from error
    if not isinstance(document, dict):
        raise InvalidInput(
            "kubeconfig", str(path), fix="give a YAML mapping with clusters, users and contexts"
        )
    context = _named(document, kind="context", name=str(document.get("current-context", "")))
    cluster = _named(document, kind="cluster", name=str(context.get("cluster", "")))
    user = _named(document, kind="user", name=str(context.get("user", "")))
    for program in ("exec", "auth-provider"):
        if program in user:
            raise InvalidInput(f"users.{program}", user[program], fix="use tokenFile or a client certificate")
    home = path.parent
    token_file = user.get("tokenFile")
    return Credentials(
        server=str(cluster.get("server", "")),
        ca_pem=_pem(cluster, "certificate-authority", home=home),
        token=str(user.get("token", "")),
        token_file=home / str(token_file) if token_file else None,
        certificate_pem=_pem(user, "client-certificate", home=home),
        key_pem=_pem(user, "client-key", home=home),
    )


def _named(document: Mapping[str, Any], *, kind: str, name: str) -> Mapping[str, Any]:
    for entry in document.get(f"{kind}s") or ():
        if entry.get("name") == name and isinstance(entry.get(kind), dict):
            return dict(entry[kind])
    raise InvalidInput(f"{kind}s", name, fix=f"add a {kind} of that name, or change what refers to it")


def _pem(entry: Mapping[str, Any], key: str, *, home: Path) -> str:
    """The PEM under `<key>-data`, base64, or in the file that `<key>` names, relative to `home`."""
    try:
        if f"{key}-data" in entry:
            return base64.b64decode(entry[f"{key}-data"], validate=True).decode()
        return (home / str(entry[key])).read_text() if key in entry else ""
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInput(key, entry.get(key, "…"), fix=f"give PEM that can be read ({error})") from error
