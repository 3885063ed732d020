"""
Where people and probes look: the agent's door for everybody.

Plain HTTP: metrics, health and the journal, nothing that changes anything. It is open
from the first moment to the last, whether there are GPUs or not: a kubelet that gets no
answer would restart an agent that only waits for a driver.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from loadline_agent.http_servers import serve
from loadline_agent.metrics import Metrics
from loadline_agent.settings import Settings
from loadline_api.journals import Journal
from loadline_policies.errors import InvalidInput

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StatusServer:
    """The door, with what is shown there; `unready` says why the node isn't ready, None if it is.

    `workers` gives the engines whose plugins report, as JSON.
    """

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.metrics = Metrics()
        self.unready: Callable[[], str | None] = lambda: None
        self.workers: Callable[[], list[dict[str, object]]] = list
        self._settings, self._journal = settings, journal
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        if self._runner is None:
            app = status_app(
                self._journal,
                metrics=self.metrics.text,
                unready=lambda: self.unready(),
                workers=lambda: self.workers(),
            )
            self._runner, _ = await serve(app, self._settings.listen, port=self._settings.metrics_port)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def status_app(
    journal: Journal,
    *,
    metrics: Callable[[], bytes],
    unready: Callable[[], str | None],
    workers: Callable[[], list[dict[str, object]]],
) -> web.Application:
    """Metrics, health, journal and workers; `unready` says why the node isn't ready, None if it is."""

    async def show_metrics(request: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def alive(request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def ready(request: web.Request) -> web.Response:
        why = unready()
        return web.Response(text="ready\n") if why is None else web.Response(status=503, text=f"{why}\n")

    async def show_journal(request: web.Request) -> web.Response:
        try:
            text = journal.asked_for(request.query.get("last", ""))
        except InvalidInput as error:
            return web.Response(text=f"{error}\n", status=400)
        return web.Response(text=text, content_type="application/x-ndjson")

    async def show_workers(request: web.Request) -> web.Response:
        return web.json_response({"workers": workers()})

    app = web.Application()
    paths: dict[str, Handler] = {
        "/metrics": show_metrics,
        "/healthz": alive,
        "/readyz": ready,
        "/v1/journal": show_journal,
        "/v1/workers": show_workers,
    }
    for path, handler in paths.items():
        app.router.add_get(path, handler)
    return app
