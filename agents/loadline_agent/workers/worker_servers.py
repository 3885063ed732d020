"""
Where the plugins in this node's engines report: the agent's port for workers.

A report is taken only from the pod that it names, proven by the pod's token, and only if that pod runs on
this node for the service that the report names. The answer is the settings of the service's loops, with a
lease. Everything that costs something comes after a bound: connections, requests and reviews are bounded
for each address, reports for each pod, so that one bad worker stops no other.

The port speaks plain HTTP: reports come through a Service that doesn't leave the node, and the token in them
is of no use anywhere else.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web

from loadline_agent.gauges import Reading
from loadline_agent.http_servers import serve
from loadline_agent.metrics import Metrics
from loadline_agent.workers.rate_bounds import RateBound
from loadline_agent.workers.refusals import ReportRefused
from loadline_agent.workers.token_reviews import LONGEST_TOKEN, TokenPod, TokenReviews
from loadline_agent.workers.worker_records import Sections, WorkerRecords
from loadline_api.worker_messages import (
    LONGEST_WORKER_MESSAGE,
    WORKER_PATH,
    WorkerReport,
    decode_worker_report,
    encode,
)
from loadline_policies.errors import InvalidInput

REPORTS_PER_S: Final = 1.0
REPORTS_BURST: Final = 5.0
"""For each pod: a plugin reports every three seconds. Chosen."""

REVIEWS_PER_S: Final = 0.5
REVIEWS_BURST: Final = 10.0
"""For each address: a good token is reviewed once a minute. Chosen so that a node whose pods share an address
still has thirty workers."""

ADDRESS_PER_S: Final = 20.0
ADDRESS_BURST: Final = 60.0
"""For each address, before anything is read: sixty workers that share one. Chosen."""

ALL: Final = "all"
ALL_PER_S: Final = 100.0
ALL_BURST: Final = 200.0
"""For all requests together: several times what the pods of a node send. Chosen."""

BODY_S: Final = 5.0
"""For the whole body of a report to arrive. Chosen."""

BEARER: Final = "Bearer "

ServiceOf = Callable[[str, str], tuple[str, str] | None]
"""The service (`namespace/name`) and the pool of a pod, by its namespace and name; None if it has none."""

SettingsFor = Callable[[WorkerReport], Sections | None]
"""The settings of each loop in answer to a report that was checked; None while they aren't known yet."""


class WorkerServer:
    """Takes the reports of one node's workers, and answers each with settings."""

    def __init__(
        self,
        reviews: TokenReviews,
        *,
        node: str,
        service_of: ServiceOf,
        settings_for: SettingsFor,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._reviews, self._node = reviews, node
        self._service_of, self._settings_for = service_of, settings_for
        self._metrics, self._clock = metrics, clock
        self._records = WorkerRecords()
        self._addressed = RateBound(clock, per_s=ADDRESS_PER_S, burst=ADDRESS_BURST)
        self._all = RateBound(clock, per_s=ALL_PER_S, burst=ALL_BURST)
        self._asked = RateBound(clock, per_s=REVIEWS_PER_S, burst=REVIEWS_BURST)
        self._reported = RateBound(clock, per_s=REPORTS_PER_S, burst=REPORTS_BURST)
        self._runner: web.AppRunner | None = None
        metrics.read(self.readings)

    async def open(self, host: str, *, port: int) -> int:
        """Listen; the port that was got."""
        app = web.Application(client_max_size=LONGEST_WORKER_MESSAGE)
        app.router.add_post(WORKER_PATH, self.handle)
        self._runner, got = await serve(app, host, port=port, by_address=True)
        return got

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def shown(self) -> list[dict[str, object]]:
        """The workers that report, as JSON for people."""
        return self._records.shown(self._clock())

    def readings(self) -> Iterator[Reading]:
        """The gauges of the services' workers."""
        return self._records.readings(self._clock())

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one report, or refuse it with the reason's status and a sentence."""
        try:
            answer = await self._answer(request)
        except ReportRefused as refused:
            self._metrics.worker_reports.labels(refused.reason).inc()
            return web.Response(status=refused.status, text=f"{refused}\n")
        self._metrics.worker_reports.labels("answered").inc()
        return web.Response(body=answer, content_type="application/json")

    async def _answer(self, request: web.Request) -> bytes:
        if not self._addressed.allows(request.remote or ""):
            raise ReportRefused("TooMany", "too many reports from this address: report every few seconds")
        if not self._all.allows(ALL):
            raise ReportRefused("TooMany", "this agent gets too many reports: report every few seconds")
        pod = await self._sender(request)
        if not self._reported.allows(pod.uid):
            raise ReportRefused("TooMany", f"pod {pod.name} reports too often: report every few seconds")
        try:
            report = decode_worker_report(await _body(request))
            self._check(report, pod)
            sections = self._settings_for(report)
            if sections is None:
                raise ReportRefused("NoSettings", "this agent doesn't know the service's policies yet")
            return encode(self._records.answer(report, sections, now=self._clock()))
        except InvalidInput as error:
            raise ReportRefused("Unreadable", str(error)) from error

    async def _sender(self, request: web.Request) -> TokenPod:
        """The pod whose token comes with the request; it has to run on this node."""
        given = request.headers.get("Authorization", "")
        token = given.removeprefix(BEARER)
        if not given.startswith(BEARER) or not 0 < len(token) <= LONGEST_TOKEN:
            raise ReportRefused("NoToken", "send the pod's projected token as a bearer token")
        if not self._reviews.keeps(token) and not self._asked.allows(request.remote or ""):
            raise ReportRefused("TooMany", "too many tokens come from this address")
        pod = await self._reviews.pod_of(token)
        if pod.node != self._node:
            raise ReportRefused("OtherNode", f"pod {pod.name} runs on node {pod.node}, not on {self._node}")
        return pod

    def _check(self, report: WorkerReport, pod: TokenPod) -> None:
        """Refuse a report of another pod than the sender, or of another service than the pod's."""
        said = report.pod
        if (said.uid, said.namespace, said.name) != (pod.uid, pod.namespace, pod.name):
            own = f"{pod.namespace}/{pod.name} ({pod.uid})"
            raise ReportRefused("ForeignPod", f"the token is that of pod {own}: report for it alone")
        found = self._service_of(pod.namespace, pod.name)
        if found is None:
            raise ReportRefused("UnknownPod", f"pod {pod.name} isn't known to belong to an InferenceService")
        service, pool = found
        if service != f"{pod.namespace}/{report.service}" or pool not in ("", report.pool):
            told = f"{service}, pool {pool}" if pool else service
            raise ReportRefused("OtherService", f"pod {pod.name} belongs to {told}: report for that")


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as error:
        raise InvalidInput("report", "incomplete", fix=f"send it within {BODY_S:.0f} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise InvalidInput(
            "report", "too long", fix=f"send at most {LONGEST_WORKER_MESSAGE} bytes"
        ) from error
