"""
A cluster as a command needs it: a few objects read, one annotation written, errors in words.

Who the caller is comes from the kubeconfig, as with kubectl, also where a program fetches the
credential; so this leans on the official client. Times are the API server's own, from the header
of its answers: a laptop's clock may be wrong.
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
"""For one request. Chosen: it is asked again every second."""

MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"


class Unreachable(CommandError):
    """The API server doesn't answer, or not now; asking again may help."""


class Refused(CommandError):
    """The API server has answered no. `status` is that of HTTP."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Sight:
    """A PowerDomain, and when the API server showed it."""

    domain: PowerDomain
    at: datetime


class Cluster:
    """One API server, as one user."""

    def __init__(self, api: client.ApiClient) -> None:
        self._objects = client.CustomObjectsApi(api)

    @classmethod
    def open(cls, kubeconfig: Path | None, context: str | None) -> Self:
        """The cluster of a kubeconfig's context; those that kubectl would use where none is named."""
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
                f"no cluster to talk to: {_sentence(str(error))}",
                hint="name a file with `--kubeconfig` or a context of it with `--context`",
            ) from error
        configuration.retries = 0
        return cls(client.ApiClient(configuration))

    def domain(self, name: str) -> Sight:
        """A PowerDomain as it is now."""
        thing, _, headers = _asked(
            lambda: self._objects.get_cluster_custom_object_with_http_info(
                *_where(POWER_DOMAINS), name, _request_timeout=TIMEOUT_S
            )
        )
        told = headers.get("Date")  # a proxy may leave it out
        at = parsedate_to_datetime(told) if told else datetime.now(UTC)
        return Sight(_parsed(PowerDomain.parse, thing), at)

    def domains(self) -> tuple[str, ...]:
        """The names of all PowerDomains."""
        return tuple(sorted(str(one["metadata"]["name"]) for one in self._list(POWER_DOMAINS)))

    def capacities(self, nodes: Collection[str]) -> dict[str, NodeCapacity]:
        """The NodeCapacities of these nodes by their names; those that are there."""
        theirs = (one for one in self._list(NODE_CAPACITIES) if one["metadata"]["name"] in nodes)
        parsed = [_parsed(NodeCapacity.parse, one) for one in theirs]
        return {one.metadata.name: one for one in parsed}

    def annotate(self, name: str, annotation: str, text: str) -> None:
        """Set one annotation of a PowerDomain, whatever it was."""
        self._patch(name, {"metadata": {"annotations": {annotation: text}}}, content_type=MERGE)

    def take_back(self, name: str, annotation: str, text: str) -> None:
        """Remove an annotation of a PowerDomain, if it is still the one that was set."""
        where = f"/metadata/annotations/{annotation.replace('/', '~1')}"
        try:
            self._patch(
                name,
                [{"op": "test", "path": where, "value": text}, {"op": "remove", "path": where}],
                content_type=PATCH,
            )
        except Refused as error:
            if error.status not in (404, 422):  # it is gone, or another one is there
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
            f"the API server doesn't answer: {_sentence(str(error))}", hint="try `kubectl cluster-info`"
        ) from error


def _refused(error: ApiException) -> CommandError:
    said, status = _sentence(str(error.body or error.reason)), int(error.status or 0)
    if status in (0, 408, 429) or status >= 500:
        return Unreachable(f"the API server answers {status}: {said}", hint="try again")
    rights = "bind the ClusterRole loadline-admin to yourself, or ask who may edit PowerDomains"
    return Refused(
        f"the API server answers {status}: {said}", status=status, hint=rights if status in (401, 403) else ""
    )


def _parsed(parse: Callable[[Any], Any], thing: Any) -> Any:
    try:
        return parse(thing)
    except InvalidInput as error:
        hint = "use a `loadline` of the same version as the cluster's CRDs"
        raise CommandError(f"an answer can't be read: {error}", hint=hint) from error


def _sentence(text: str) -> str:
    """One line of what a server or a library says, without what is wrapped around it."""
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return " ".join(text.split())[:300]
