"""
What commands need of a cluster: read a few objects, write one annotation, explain API errors.

The caller's credentials come from the kubeconfig, as with kubectl, and may need an exec plugin to
fetch them; hence the official client. Times are the API server's, from the `Date` header of its
responses, because the clock of the caller's machine may be wrong.
"""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS, Resource
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from loadline_cli.exits import CommandError
from loadline_policies.errors import InvalidInput

TIMEOUT_S = 5.0
"""For one request. Chosen: commands that wait repeat it every second."""

MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"


class Unreachable(CommandError):
    """The API server doesn't answer, or is overloaded; a retry may succeed."""


class Refused(CommandError):
    """The API server rejected the request; `status` is the HTTP status code."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Sight:
    """A PowerDomain, and the API server's time when it was read."""

    domain: PowerDomain
    at: datetime


class Cluster:
    """One API server, accessed as the user of a kubeconfig's context."""

    def __init__(self, api: client.ApiClient) -> None:
        self._objects = client.CustomObjectsApi(api)

    @classmethod
    def open(cls, kubeconfig: Path | None, context: str | None) -> Self:
        """The cluster of a kubeconfig's context; None means the one that kubectl would use."""
        configuration = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig) if kubeconfig is not None else None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        except (config.ConfigException, OSError) as error:
            raise CommandError(
                f"the kubeconfig names no usable cluster: {_sentence(str(error))}",
                hint="choose another kubeconfig with `--kubeconfig` or another context with `--context`",
            ) from error
        configuration.retries = 0
        return cls(client.ApiClient(configuration))

    def domain(self, name: str) -> Sight:
        """Read one PowerDomain; Refused with status 404 if it doesn't exist."""
        thing, _, headers = _asked(
            lambda: self._objects.get_cluster_custom_object_with_http_info(
                *_where(POWER_DOMAINS), name, _request_timeout=TIMEOUT_S
            )
        )
        date = headers.get("Date")  # a proxy may leave it out
        at = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return Sight(_parsed(PowerDomain.parse, thing), at)

    def domains(self) -> tuple[str, ...]:
        """The names of all PowerDomains, sorted."""
        return tuple(sorted(str(one["metadata"]["name"]) for one in self._list(POWER_DOMAINS)))

    def capacities(self, nodes: Collection[str]) -> dict[str, NodeCapacity]:
        """The NodeCapacities of these nodes, by node name; nodes without one are left out."""
        theirs = (one for one in self._list(NODE_CAPACITIES) if one["metadata"]["name"] in nodes)
        parsed = [_parsed(NodeCapacity.parse, one) for one in theirs]
        return {one.metadata.name: one for one in parsed}

    def annotate(self, name: str, annotation: str, text: str) -> None:
        """Set one annotation of a PowerDomain, replacing any earlier value."""
        self._patch(name, {"metadata": {"annotations": {annotation: text}}}, content_type=MERGE)

    def take_back(self, name: str, annotation: str, text: str) -> None:
        """Remove an annotation of a PowerDomain, if its value is still `text`."""
        where = f"/metadata/annotations/{annotation.replace('/', '~1')}"
        try:
            self._patch(
                name,
                [{"op": "test", "path": where, "value": text}, {"op": "remove", "path": where}],
                content_type=PATCH,
            )
        except Refused as error:
            if error.status not in (404, 422):  # the annotation is gone, or has another value
                raise

    def _patch(self, name: str, body: Any, *, content_type: str) -> None:
        _asked(
            lambda: self._objects.patch_cluster_custom_object(
                *_where(POWER_DOMAINS), name, body, _content_type=content_type, _request_timeout=TIMEOUT_S
            )
        )

    def _list(self, kind: Resource) -> list[dict[str, Any]]:
        listing = _asked(
            lambda: self._objects.list_cluster_custom_object(*_where(kind), _request_timeout=TIMEOUT_S)
        )
        items: list[dict[str, Any]] = listing["items"]
        return items


def _where(kind: Resource) -> tuple[str, str, str]:
    return kind.group, kind.version, kind.plural


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ApiException as error:
        raise _refused(error) from error
    except (HTTPError, OSError) as error:
        raise Unreachable(
            f"the API server doesn't answer: {_sentence(str(error))}",
            hint="check the connection with `kubectl cluster-info`",
        ) from error


def _refused(error: ApiException) -> CommandError:
    text, status = _sentence(str(error.body or error.reason)), int(error.status or 0)
    message = f"the API server returned {status}: {text}"
    if status in (0, 408, 429) or status >= 500:
        return Unreachable(message, hint="try again")
    rights = "ask a cluster administrator to bind the ClusterRole loadline-admin to your user"
    return Refused(message, status=status, hint=rights if status in (401, 403) else "")


def _parsed(parse: Callable[[Any], Any], thing: Any) -> Any:
    try:
        return parse(thing)
    except InvalidInput as error:
        hint = "install the version of `loadline` that matches the CRDs in the cluster"
        raise CommandError(f"an object from the API server can't be parsed: {error}", hint=hint) from error


def _sentence(text: str) -> str:
    """An error text as one line; of a Kubernetes `Status` object only its message."""
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return " ".join(text.split())[:300]
