"""
Which pod sent a report, by the token that came with it.

The kubelet projects a token into the engine's pod that is bound to this pod and has an audience of its own,
so that it is of no use elsewhere. The API server reviews it and names the pod, its uid and its node. A review
is kept for a short time under a hash of the token, since a plugin reports every few seconds; a refusal is
kept more shortly. So a token that is revoked, because its pod is deleted, is refused within that time.
While the API server can't be reached, tokens without a review that is kept can't be told from false ones.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from loadline_agent.kube.clients import Kube, Object
from loadline_agent.workers.refusals import ReportRefused
from loadline_api.api_errors import KubeError
from loadline_api.names import TOKEN_NODE_NAME, TOKEN_POD_NAME, TOKEN_POD_UID
from loadline_api.worker_messages import WORKER_AUDIENCE

PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"

KEPT_S: Final = 60.0
"""How long the review of a good token is kept, unless the token expires before. Chosen: one request a minute
for each engine."""

REFUSED_S: Final = 10.0
"""How long that of a bad one is kept. Chosen."""

MOST_KEPT: Final = 1024
"""Reviews kept: several times the pods of a node. Chosen."""

LONGEST_TOKEN: Final = 4096
"""Characters. A projected token has some 1,200."""

ACCOUNT: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPod:
    """The pod that a token is bound to, and the node on which it runs."""

    namespace: str
    name: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class _Review:
    """What came of a token, until `until_s`; `refused` is the reason and the sentence."""

    until_s: float
    pod: TokenPod | None = None
    refused: tuple[str, str] | None = None


class TokenReviews:
    """Reviews tokens by the API server. `clock` is in seconds, `wall` in seconds since 1970."""

    def __init__(self, kube: Kube, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._kube, self._clock, self._wall = kube, clock, wall
        self._kept: dict[bytes, _Review] = {}

    def keeps(self, token: str) -> bool:
        """Whether the token's pod can be told without asking the API server."""
        return self._find(_hash(token)) is not None

    async def pod_of(self, token: str) -> TokenPod:
        """The pod that the token is bound to; ReportRefused if there is none, or nobody can tell."""
        key = _hash(token)
        review = self._find(key) or await self._ask(token)
        self._keep(key, review)
        if review.pod is None:
            raise ReportRefused(*(review.refused or ("WrongToken", "")))
        return review.pod

    def _find(self, key: bytes) -> _Review | None:
        review = self._kept.get(key)
        return review if review is not None and self._clock() < review.until_s else None

    def _keep(self, key: bytes, review: _Review) -> None:
        self._kept.pop(key, None)
        self._kept[key] = review
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    async def _ask(self, token: str) -> _Review:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [WORKER_AUDIENCE]},
        }
        try:
            status = (await self._kube.create(PATH, body)).get("status")
        except KubeError as error:
            sentence = f"the API server can't review the token now, try again later ({error})"
            raise ReportRefused("NotReviewed", sentence) from error
        now = self._clock()
        try:
            pod = pod_in(status if isinstance(status, dict) else {})
        except ReportRefused as refused:
            return _Review(now + REFUSED_S, refused=(refused.reason, str(refused)))
        return _Review(now + min(KEPT_S, max(0.0, expiry_s(token) - self._wall())), pod=pod)


def pod_in(status: Object) -> TokenPod:
    """The pod in the status of a TokenReview; ReportRefused if the token isn't a pod's for this audience."""
    if status.get("authenticated") is not True or WORKER_AUDIENCE not in (status.get("audiences") or ()):
        raise ReportRefused(
            "WrongToken", f"the API server doesn't take the token for the audience `{WORKER_AUDIENCE}`"
        )
    user = status.get("user") or {}
    extra: Mapping[str, Any] = user.get("extra") or {}
    namespace, _, _ = str(user.get("username", "")).removeprefix(ACCOUNT).partition(":")
    name, uid, node = (_only(extra.get(key)) for key in (TOKEN_POD_NAME, TOKEN_POD_UID, TOKEN_NODE_NAME))
    if not (namespace and name and uid and node):
        raise ReportRefused(
            "NotAPod", "the token isn't bound to a pod on a node: use the pod's projected token"
        )
    return TokenPod(namespace=namespace, name=name, uid=uid, node=node)


def expiry_s(token: str) -> float:
    """When a token expires, in seconds since 1970, as it says itself; 0 if it doesn't.

    Nothing is believed by it: the API server has taken the token, and this only shortens the time that
    its review is kept.
    """
    _, _, rest = token.partition(".")
    payload, _, _ = rest.partition(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return 0.0


def _only(values: object) -> str:
    """The one text of a list of one."""
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str) else ""


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
