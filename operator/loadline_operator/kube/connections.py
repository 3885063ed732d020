"""
How the operator proves who it is: from a kubeconfig, or as the pod that it runs in.

Two clients talk to the API server, kopf's for the watches and our own for everything
else; both get the same server, certificates and token from here. Tokens of pods and of
the test bed live in files and are renewed there, so the file is read again rather than
the token kept. Nothing else of the operator knows a credential.
"""

import time
from collections.abc import Callable
from pathlib import Path

import kopf
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

TOKEN_AGE_S = 60.0
"""As client-go: a token file is read again after a minute, long before half of its life is over."""


class Connection:
    """The API server and the credentials for it."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    @classmethod
    async def open(cls, kubeconfig: Path | None) -> "Connection":
        """The connection of a kubeconfig, or without one of the pod's ServiceAccount."""
        configuration = Configuration()
        if kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            return cls(configuration)
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
        )
        token_file = _token_file(kubeconfig)
        if token_file is not None:
            hook = _reader(token_file, time.monotonic)
            configuration.refresh_api_key_hook = hook  # type: ignore[assignment]
        return cls(configuration)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._configuration.host)

    def client(self) -> ApiClient:
        """A client of our own; to be closed."""
        client = ApiClient(configuration=self._configuration)
        client.user_agent = "loadline-operator"
        return client

    async def login(self, **_: object) -> kopf.ConnectionInfo:
        """kopf's login handler: called at the start and whenever a token was refused."""
        configuration = self._configuration
        credential = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return kopf.ConnectionInfo(
            server=self.server,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            token=credential.split()[-1] if credential else None,
        )


def _reader(token_file: Path, clock: Callable[[], float]) -> Callable[[Configuration], None]:
    """A hook that reads the token's file again once it is old."""
    read_s = float("-inf")

    def refresh(configuration: Configuration) -> None:
        nonlocal read_s
        if clock() - read_s >= TOKEN_AGE_S:
            configuration.api_key["BearerToken"] = f"Bearer {token_file.read_text().strip()}"
            read_s = clock()

    return refresh


def _token_file(kubeconfig: Path) -> Path | None:
    """The file of the current user's token, if the kubeconfig names one."""
    document = yaml.safe_load(kubeconfig.read_text())
    contexts = {one["name"]: one["context"] for one in document["contexts"]}
    users = {one["name"]: one["user"] for one in document["users"]}
    user = users.get(contexts[document["current-context"]].get("user"), {})
    name = user.get("tokenFile")
    return kubeconfig.parent / name if name else None
