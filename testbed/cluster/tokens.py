"""
The bed plays kubelet for tokens: bound, short-lived, kept fresh in files.

A kubelet asks for a pod's token by the TokenRequest API, writes it to a file and
replaces it long before it expires; the process re-reads the file. Here the same
happens for processes without a pod. A token bound to a Node makes the API server see
`authentication.kubernetes.io/node-name`, which is what the admission policies of
agents compare, with no kubelet involved.

`Bed.identity` hands out the files. `now` is in seconds since 1970, the clock in which
tokens expire, and is passed in so that a test needn't wait for half an hour.
"""

import datetime
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx

from testbed.cluster.clients import Client
from testbed.cluster.errors import BedError

EXPIRY_S = 3600
"""As a kubelet asks for; the API server takes nothing below 600."""

RETRY_S = 10.0
"""Chosen: an API server that is away is asked again at this pace; half a token's life is left for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Whose token, for which audience (the API server's own if None), bound to which Node (if any)."""

    service_account: str
    namespace: str
    node: str | None = None
    audience: str | None = None
    expiry_s: int = EXPIRY_S

    def request(self) -> dict[str, object]:
        """The TokenRequest that asks for it."""
        spec: dict[str, object] = {"expirationSeconds": self.expiry_s}
        if self.audience is not None:
            spec["audiences"] = [self.audience]
        if self.node is not None:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token and the time at which it expires, in seconds since 1970."""

    value: str
    expires_s: float


def request(client: Client, binding: Binding) -> Token:
    """Ask for a new token; raises ApiError when the account or the node isn't there."""
    path = f"/api/v1/namespaces/{binding.namespace}/serviceaccounts/{binding.service_account}/token"
    status = client.create(path, binding.request())["status"]
    expires = datetime.datetime.fromisoformat(status["expirationTimestamp"])
    return Token(value=status["token"], expires_s=expires.timestamp())


class TokenKeeper:
    """Keeps a fresh token in each file it was given, renewed at half the token's life."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._due_s: dict[Path, float] = {}
        self._bindings: dict[Path, Binding] = {}
        self._guard = threading.Lock()
        self._changed = threading.Event()
        self._closed = False
        self.failures: Counter[Path] = Counter()
        self._thread = threading.Thread(target=self._run, name="token-keeper", daemon=True)
        self._thread.start()

    def keep(self, binding: Binding, path: Path) -> None:
        """Write a token to the file, and keep it fresh until the bed goes. Raises ApiError at once."""
        with self._guard:
            self._renew(binding, path, now=time.time())
            self._bindings[path] = binding
        self._changed.set()

    def renew(self, now: float) -> float:
        """Renew what is due at `now`; gives the time at which something is due next.

        One that can't be renewed is counted in `failures`, by file, and tried again soon: its file
        still holds a token for the other half of its life.
        """
        with self._guard:
            for path, binding in self._bindings.items():
                if self._due_s[path] <= now:
                    self._try(binding, path, now=now)
            return min(self._due_s.values(), default=now + EXPIRY_S)

    def close(self) -> None:
        """Stop renewing."""
        self._closed = True
        self._changed.set()
        self._thread.join()

    def _try(self, binding: Binding, path: Path, *, now: float) -> None:
        try:
            self._renew(binding, path, now=now)
        except (BedError, httpx.HTTPError):
            self.failures[path] += 1
            self._due_s[path] = now + RETRY_S

    def _renew(self, binding: Binding, path: Path, *, now: float) -> None:
        token = request(self._client, binding)
        _replace(path, token.value)
        self._due_s[path] = now + (token.expires_s - now) / 2

    def _run(self) -> None:
        while not self._closed:
            wait_s = self.renew(time.time()) - time.time()
            self._changed.wait(max(wait_s, 0.1))
            self._changed.clear()


def _replace(path: Path, text: str) -> None:
    """Write the file as a whole: its reader sees the old token or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    os.replace(fresh, path)
