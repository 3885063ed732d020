"""
Where the members of a domain report: the agent's door for its peers.

`/v1/reports` is behind mutual TLS. A member posts its report and is held for up to
a second; the answer is its next lease. It is answered sooner when the coordinator
wants it to hear at once, or when the member itself comes back out of turn: the held
request then ends without a lease, and the new one is answered immediately. A report
must come from the node that it names, told by the very bytes of its certificate.

Which lease a report earns is decided in `leaderships` and below. The other door is in
`status_servers`.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from loadline_agent.domain.leaderships import Leadership
from loadline_agent.domain.ports import Declarations
from loadline_agent.domain.tls_identity import OneSidedClose
from loadline_api.reports import LONGEST_MESSAGE, VERSION_HEADER, WIRE_VERSION, decode_report, encode_lease
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Report

HOLD_SHARE = 0.25
"""Of a lease's time, how long a report is held at most, and never above the `report_s` of S2's sum:
an answer must reach its node while the lease before it still has half of its time."""

HOLD_SPREAD = (0.8, 1.0)
"""Members that were answered together shouldn't come back together for ever."""


Refused = Callable[[str], None]


class ReportServer:
    """Takes the members' reports and holds them; `refused` counts a reason for each one turned away."""

    def __init__(
        self, leadership: Leadership, declarations: Declarations, *, node: str, refused: Refused
    ) -> None:
        self._leadership, self._declarations = leadership, declarations
        self._node, self._refused = node, refused
        self._held: dict[str, asyncio.Future[None]] = {}

    def app(self) -> web.Application:
        """The application behind mutual TLS."""
        app = web.Application(client_max_size=LONGEST_MESSAGE)
        app.router.add_post("/v1/reports", self.handle)
        app.router.add_get("/v1/coordinator", self.tell_coordinator)
        return app

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one report with a lease, or with the reason why not."""
        try:
            report = decode_report(await self._body(request))
        except InvalidInput as error:
            return self._refuse("Unreadable", 400, sentence=str(error))
        shown = _certificate(request)
        if self._declarations.node_of(shown) != report.node:
            sentence = (
                f"report.node is {report.node!r}: report with the certificate that this node has published"
            )
            return self._refuse("WrongNode", 403, sentence=sentence)
        coordinator = self._leadership.coordinator
        if coordinator is None:
            return self._misdirected()
        if not coordinator.knows(report):
            return self._no_member(report)
        return await self._exchange(report)

    async def tell_coordinator(self, request: web.Request) -> web.Response:
        """Who leads, as far as this node knows."""
        return web.json_response({"coordinator": self._leadership.holder or None})

    def flush(self) -> None:
        """Answer every held report whose node must hear at once."""
        coordinator = self._leadership.coordinator
        for node, held in self._held.items():
            if coordinator is None or node not in coordinator.members or coordinator.urgent(node):
                _end(held)

    async def _body(self, request: web.Request) -> bytes:
        spoken = request.headers.get(VERSION_HEADER, WIRE_VERSION)
        if spoken != WIRE_VERSION:
            raise InvalidInput(
                VERSION_HEADER, spoken, mend=f"this agent speaks {WIRE_VERSION}: update the older one"
            )
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise InvalidInput("report", "too long", mend=f"send at most {LONGEST_MESSAGE} bytes") from error

    async def _exchange(self, report: Report) -> web.Response:
        coordinator = self._leadership.receive(report)
        out_of_turn = self._held.get(report.node)
        if out_of_turn is not None:
            _end(out_of_turn)
        self.flush()
        if coordinator is None:
            return self._misdirected()
        if report.node not in coordinator.members:
            return self._no_member(report)
        if not coordinator.expects(report):
            return web.Response(status=204)
        if out_of_turn is None and not coordinator.urgent(report.node):
            timings = coordinator.domain.timings
            await self._hold(report.node, min(timings.report_s, HOLD_SHARE * timings.lease_s))
        return self._answer(report)

    async def _hold(self, node: str, most_s: float) -> None:
        loop = asyncio.get_running_loop()
        held = self._held[node] = loop.create_future()
        timer = loop.call_later(most_s * random.uniform(*HOLD_SPREAD), _end, held)
        try:
            await held
        finally:
            timer.cancel()
            if self._held.get(node) is held:
                del self._held[node]

    def _answer(self, report: Report) -> web.Response:
        coordinator = self._leadership.coordinator
        if coordinator is None or report.node not in coordinator.members:
            return self._misdirected()
        if not coordinator.expects(report):
            return web.Response(status=204)
        lease = coordinator.answer(report.node, self._leadership.now())
        return web.Response(body=encode_lease(lease), content_type="application/json")

    def _misdirected(self) -> web.Response:
        holder = self._leadership.holder
        named = holder if holder != self._node else ""
        return web.json_response({"coordinator": named or None}, status=421)

    def _no_member(self, report: Report) -> web.Response:
        sentence = f"{report.node!r} is no member of {report.domain!r} here: see its nodeSelector"
        return self._refuse("NotAMember", 404, sentence=sentence)

    def _refuse(self, reason: str, status: int, *, sentence: str) -> web.Response:
        self._refused(reason)
        return web.Response(status=status, text=sentence)


class Strangers:
    """Who knocked with an unknown certificate: it may be a new member, so look again.

    `relist` is awaited in the background, one at a time; how often it really looks is its own affair.
    """

    def __init__(self, relist: Callable[[], Awaitable[None]], refused: Refused) -> None:
        self._relist, self._refused = relist, refused
        self._task: asyncio.Future[None] | None = None

    def watch(self, context: ssl.SSLContext) -> None:
        """Be told of every handshake of this server context that fails on the peer's certificate."""
        strangers = self

        class Watched(OneSidedClose):
            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except ssl.SSLWantReadError:
                    raise
                except ssl.SSLError:
                    strangers.knocked()
                    raise

        context.sslobject_class = Watched

    def knocked(self) -> None:
        """Count a stranger, and list certificates again unless that is being done."""
        self._refused("Stranger")
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._relist())


def _end(held: "asyncio.Future[None]") -> None:
    if not held.done():
        held.set_result(None)


def _certificate(request: web.Request) -> bytes:
    shown = request.get_extra_info("ssl_object")
    return (shown.getpeercert(binary_form=True) if shown is not None else None) or b""
