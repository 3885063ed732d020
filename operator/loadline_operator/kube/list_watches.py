"""
Watches of what comes and goes: a list, then its changes, begun and ended at any time.

kopf watches what every cluster has. It can't be used for the kinds of other projects,
since it gives up as a whole when a kind that it watches is uninstalled, ends every task
of the loop when it is cancelled, and can't ask for metadata alone, where definitions of
some kinds weigh megabytes. So for these there is this: forty lines of the same protocol.

A listing tells what there is, and what was known before and isn't listed is told as
gone; so nobody needs to compare afterwards. A kind that isn't served (404) or that we may
not see (403) is an answer too, asked again later and later, or at once after a `poke`.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus

import aiohttp
import structlog

from loadline_api.api_errors import Gone, Refused, Unavailable
from loadline_operator.kube.api_requests import JSON, ApiRequests
from loadline_operator.kube.apply import PAGE
from loadline_operator.kube.kinds import Key, Kind, Manifest
from loadline_operator.kube.observers import Seen, hand_on

LISTED_METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
WATCHED_METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

SERVER_TIMEOUT_S = 300
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SERVER_TIMEOUT_S + 10.0)
"""As kopf's: a watch that a network has silently cut is given up after five minutes."""

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0

RECONNECT_S = 0.1
"""Chosen: a server that ends watches at once is asked ten times a second, not a thousand times."""

log = structlog.get_logger("loadline.operator")


class ListWatch:
    """One kind, everywhere or in one namespace, followed from `run` on.

    `served` is None until the API server has answered once.
    """

    def __init__(
        self,
        requests: ApiRequests,
        kind: Kind,
        *,
        namespace: str = "",
        seen: Seen,
        turned: Callable[[], None],
        metadata_only: bool = False,
        retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._retry_s = retry_s
        self._requests, self.kind, self._seen, self._turned = requests, kind, seen, turned
        self.namespace, self._path = namespace, kind.path(namespace=namespace)
        self._accepts = (LISTED_METADATA, WATCHED_METADATA) if metadata_only else (JSON, JSON)
        self._known: dict[Key, str] = {}
        self._poked = asyncio.Event()
        self._said = ""
        self.served: bool | None = None

    def poke(self) -> None:
        """Something has changed: if the kind wasn't served, ask again now."""
        self._poked.set()

    async def run(self) -> None:
        """Follow the kind until cancelled."""
        retry_s, clock, listed = self._retry_s, asyncio.get_running_loop().time, False
        while True:
            began_s, had_listed, listed = clock(), listed, False
            try:
                version = await self._list()
                listed = True
                if not had_listed:
                    retry_s = self._retry_s
                await self._watch(version)
                retry_s = self._retry_s
            except Gone:
                pass  # listed again, now
            except Refused as error:
                self._refused(error)
            except Unavailable as error:
                self._say(str(error))
            except Exception as error:  # an answer that is none ends nothing else that is followed
                self._say(f"{type(error).__name__}: {error}")
            if clock() - began_s > LONGEST_RETRY_S:
                retry_s = self._retry_s
            await self._pause(retry_s)
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)

    def forget(self) -> None:
        """Tell everything that was known as gone."""
        for key in list(self._known):
            self._drop(key)

    async def _list(self) -> str:
        """Tell everything there is, and what is gone since the last listing; the listing's version."""
        query = {"limit": str(PAGE), "labelSelector": self.kind.selector}
        listed: set[Key] = set()
        while True:
            page = await self._requests.send("list", "GET", self._path, query=query, accept=self._accepts[0])
            for item in page["items"] or ():
                listed.add(Key.of(item))
                self._put(item)
                await asyncio.sleep(0)  # a page of a tenant's objects must hold up nobody else's
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                break
        for key in self._known.keys() - listed:
            self._drop(key)
        self._turn(served=True)
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        """Tell every change from a version on; returns when everything must be listed again."""
        while True:
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(SERVER_TIMEOUT_S),
                "labelSelector": self.kind.selector,
            }
            events = self._requests.lines(self._path, query=query, accept=self._accepts[1], timeout=TIMEOUT)
            async with aclosing(events):
                async for event in events:
                    kind, found = event["type"], event["object"]
                    if kind == "ERROR":
                        if found.get("code") == HTTPStatus.GONE:
                            return
                        raise Unavailable(f"the watch of {self.kind.plural}: {found.get('message')}")
                    version = found["metadata"]["resourceVersion"]
                    if kind == "DELETED":
                        self._drop(Key.of(found))
                    elif kind != "BOOKMARK":
                        self._put(found)
                        await asyncio.sleep(0)
            await asyncio.sleep(min(RECONNECT_S, self._retry_s))

    def _put(self, item: Manifest) -> None:
        self._known[Key.of(item)] = item["metadata"]["uid"]
        hand_on(self.kind, self._seen, item, gone=False)

    def _drop(self, key: Key) -> None:
        uid = self._known.pop(key, None)
        if uid is not None:
            hand_on(self.kind, self._seen, self.kind.manifest(key, uid=uid), gone=True)

    def _refused(self, error: Refused) -> None:
        self._say(str(error))
        self.forget()
        self._turn(served=False)

    def _turn(self, *, served: bool) -> None:
        if self.served is not served:
            self.served = served
            self._turned()

    def _say(self, sentence: str) -> None:
        """Log a failure once, however long it lasts."""
        if sentence != self._said:
            self._said = sentence
            kind, where = self.kind.plural, self.namespace
            log.info("a kind can't be watched now", kind=kind, where=where, error=sentence)

    async def _pause(self, seconds: float) -> None:
        """Wait, or less if somebody pokes."""
        self._poked.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._poked.wait()
        except TimeoutError:
            return
