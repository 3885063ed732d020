"""
Requests to the test bed's API server as one identity of the chart.

A test of what is refused needs the API server's own sentence, and must see that it was
this rule that refused and no other. So `refusal` sends a request that changes nothing
if it is taken, and says which words the sentence must have. Policies, bindings and
their parameters reach admission a moment after they are written; `eventually` waits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from loadline_api import names
from testbed.cluster.bed import Bed
from testbed.cluster.clients import APPLY, Object, checked, tls
from testbed.cluster.errors import ApiError
from testbed.cluster.waits import GaveUp, wait_for

PATIENCE_S = 20.0
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Caller:
    """One identity's requests."""

    http: httpx.Client

    def send(self, method: str, path: str, *, body: object = None, **parameters: str) -> Object:
        """The answer to a request; raises ApiError when it is refused."""
        return checked(self.http.request(method, path, json=body, params=parameters))

    def apply(self, path: str, body: object, *, manager: str) -> Object:
        """The answer to a server-side apply that takes over fields."""
        parameters = {"fieldManager": manager, "force": "true"}
        headers = {"Content-Type": APPLY}
        return checked(self.http.patch(path, json=body, params=parameters, headers=headers))

    def apply_status(self, path: str, body: object, *, manager: str) -> Object:
        """The answer to a server-side apply of a status."""
        return self.apply(f"{path}/status", body, manager=manager)

    def refusal(self, method: str, path: str, body: object = None, *, by: str = "") -> str:
        """The sentence that refuses a request, with `by` in it; AssertionError when it is taken."""
        return refusal(
            lambda: self.send(method, path, body=body, dryRun="All", fieldValidation="Strict"), by=by
        )


def caller(
    bed: Bed, account: str, *, node: str | None = None, namespace: str = names.SYSTEM_NAMESPACE
) -> Caller:
    """A caller with a ServiceAccount's token, bound to `node` if one is given."""
    token = bed.identity(account, namespace, node=node).token.read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return Caller(httpx.Client(base_url=bed.server, verify=tls(bed.ca), headers=headers, trust_env=False))


def refusal(call: Callable[[], object], *, by: str = "") -> str:
    """The API server's sentence against `call`, with `by` in it; AssertionError when it is taken."""
    try:
        answer = call()
    except ApiError as error:
        if by not in str(error):
            raise AssertionError(f"refused by something else than {by!r}: {error}") from error
        return str(error)
    raise AssertionError(f"taken, though it should have been refused: {answer}")


def eventually(check: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Repeat `check` until it neither fails nor is refused; else its last complaint is raised."""
    last: list[Exception] = []

    def holds() -> bool | None:
        try:
            check()
        except (ApiError, AssertionError) as error:
            last[:] = [error]
            return None
        return True

    try:
        wait_for(holds, "a check", standstill_s=patience_s, every_s=0.05)
    except GaveUp:
        raise last[0] from None


def bound_account(name: str, role: str, *, namespace: str = "default") -> list[Mapping[str, Any]]:
    """A ServiceAccount and its binding to a ClusterRole, cluster-wide."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{name}-{role}"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        },
    ]
