"""
Where the members of a domain report: the agent's door for its peers.

`/v1/reports` is behind mutual TLS. A member posts its report and is held for up to
a second; the answer is its next lease. When it is answered, and with what, is decided
by the pure `leaders`; here a request waits for that. A report must come from the node
that it names, told by the very bytes of its certificate.

The other door is in `status_servers`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from aiohttp import web

from loadline_agent.domain.fan_outs import FanOuts
from loadline_agent.domain.leaderships import Leadership
from loadline_agent.domain.ports import Declarations
from loadline_agent.domain.tls_identity import certificate_shown
from loadline_agent.domain.turns import Turns
from loadline_api.reports import (
    LONGEST_MESSAGE,
    READ_VERSIONS,
    VERSION_HEADER,
    WIRE_VERSION,
    decode_report,
    encode_lease,
)
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.leaders import (
    Answer,
    Implausible,
    Leased,
    NotAMember,
    NotLeading,
    Output,
    Superseded,
)
from loadline_policies.power.protocol.messages import Report

MOST_IN_A_TURN: Final = 16
"""Reports that are read and counted in one turn of the event loop. Chosen: 5 ms, so that a renewal of the
Kubernetes Lease isn't late because a whole row reports at once."""

LOG_EVERY_S: Final = 60.0
"""How often one member's implausible reports are logged: it may send as many as it likes. Chosen."""

Refused = Callable[[str], None]

log = structlog.get_logger("loadline.agent")


class ReportServer:
    """Takes the members' reports, which wait here; `refused` counts a reason for each one turned away."""

    def __init__(
        self, leadership: Leadership, declarations: Declarations, *, node: str, refused: Refused
    ) -> None:
        self._leadership, self._declarations = leadership, declarations
        self._node, self._refused = node, refused
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._turns = Turns(MOST_IN_A_TURN)
        self._fan_outs = FanOuts(
            clock=time.monotonic, members=lambda: leadership.reporting, told=leadership.fanned_out
        )
        self._timer: asyncio.TimerHandle | None = None
        self._logged_s: dict[str, float] = {}
        leadership.carry = self.carry

    def app(self) -> web.Application:
        """The application behind mutual TLS."""
        app = web.Application(client_max_size=LONGEST_MESSAGE)
        app.router.add_post("/v1/reports", self.handle)
        app.router.add_get("/v1/coordinator", self.tell_coordinator)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one report with a lease, or with the reason why not."""
        try:
            body = await self._body(request)
            await self._turns.take()
            report = decode_report(body)
        except InvalidInput as error:
            return self._refuse("Unreadable", 400, sentence=str(error))
        shown = certificate_shown(request.get_extra_info("ssl_object"))
        if self._declarations.node_of(shown) != report.node:
            sentence = (
                f"report.node is {report.node!r}: report with the certificate that this node has published"
            )
            return self._refuse("WrongNode", 403, sentence=sentence)
        return await self._write(request, await self._answer(report))

    async def tell_coordinator(self, request: web.Request) -> web.Response:
        """Who leads, as far as this node knows."""
        return web.json_response({"coordinator": self._leadership.holder or None})

    def carry(self, outputs: Iterable[Output]) -> None:
        """Give each answer to the request that waits for it."""
        for output in outputs:
            if isinstance(output, Answer):
                waiting = self._waiting.get(id(output.report))
                if waiting is not None and not waiting.done():
                    waiting.set_result(output)
                    if isinstance(output, Leased):
                        self._fan_outs.answered(output.lease.level)
        self.close()
        wait_s = self._leadership.wait_s
        if wait_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._leadership.due)

    def close(self) -> None:
        """Wake up no more, until something is carried again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _body(self, request: web.Request) -> bytes:
        spoken = request.headers.get(VERSION_HEADER, str(WIRE_VERSION))
        if spoken not in READ_VERSIONS:
            raise InvalidInput(
                VERSION_HEADER, spoken, fix=f"this agent speaks {WIRE_VERSION}: update the older one"
            )
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise InvalidInput("report", "too long", fix=f"send at most {LONGEST_MESSAGE} bytes") from error

    async def _answer(self, report: Report) -> Answer:
        """What becomes of a report, now or when its time is over."""
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[id(report)] = waiting
        try:
            self._leadership.receive(report)
            return await waiting
        finally:
            del self._waiting[id(report)]
            self._leadership.forget(report)

    async def _write(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """The response, written already: when the last one is on its way is worth knowing.

        A member that has gone away meanwhile (its pod was replaced) is no error of the server.
        """
        response = self._response(answer)
        try:
            with contextlib.suppress(ConnectionResetError):
                await response.prepare(request)
                await response.write_eof()
        finally:
            if isinstance(answer, Leased):
                self._fan_outs.written(answer.report.node, answer.lease.level)
        return response

    def _response(self, answer: Answer) -> web.Response:
        match answer:
            case Leased(_, lease):
                return web.Response(body=encode_lease(lease), content_type="application/json")
            case Superseded():
                return web.Response(status=204)
            case NotAMember(report):
                return self._no_member(report)
            case Implausible(report, sentence):
                self._log_implausible(report.node, sentence)
                return self._refuse("Implausible", 422, sentence=sentence)
            case NotLeading():
                return self._misdirected()

    def _misdirected(self) -> web.Response:
        holder = self._leadership.holder
        named = holder if holder != self._node else ""
        return web.json_response({"coordinator": named or None}, status=421)

    def _no_member(self, report: Report) -> web.Response:
        known = f"this agent knows no member {report.node!r} of {report.domain!r}"
        sentence = f"{known}: check the domain's nodeSelector"
        return self._refuse("NotAMember", 404, sentence=sentence)

    def _log_implausible(self, node: str, sentence: str) -> None:
        """Say what of a member's report can't be true, once a minute for each member."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_s.get(node, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_s[node] = now
            log.warning("a report is implausible", node=node, why=sentence)

    def _refuse(self, reason: str, status: int, *, sentence: str) -> web.Response:
        self._refused(reason)
        return web.Response(status=status, text=sentence)
