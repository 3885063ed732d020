"""
The operator's process: start everything, say when it is ready, end cleanly.

Order matters at the start. Nothing is decided before every watch has told all that there
is, and the API must serve our kinds before kopf looks for them, since it looks only
once. After that the process lives on events alone: no timer, no polling.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

import structlog

from loadline_api.api_errors import KubeError
from loadline_api.journals import Component, Journal
from loadline_operator import logs
from loadline_operator.contexts import Context
from loadline_operator.controllers import controllers
from loadline_operator.kube.apply import Applier
from loadline_operator.kube.cache_syncs import CacheSync
from loadline_operator.kube.connections import Connection
from loadline_operator.kube.kinds import IN_SYSTEM, POWER_DOMAINS
from loadline_operator.kube.kopf_watches import KopfWatch
from loadline_operator.metrics import Metrics
from loadline_operator.options import Options, parse
from loadline_operator.services.objects import defaults
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.status_servers import Server
from loadline_policies.errors import InvalidInput

log = structlog.get_logger("loadline.operator")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the operator until SIGTERM or SIGINT; the exit status."""
    options = parse(argv)
    logs.configure(options.log_level)
    try:
        wanted = defaults.read(options.defaults) if options.defaults is not None else Defaults()
    except (OSError, InvalidInput) as error:
        print(f"error: `--defaults`: {error}", file=sys.stderr)
        return 2
    wanted = defaults.with_family(wanted, service_host=os.environ.get("KUBERNETES_SERVICE_HOST", ""))
    try:
        return asyncio.run(Operator(options, wanted).run())
    except KeyboardInterrupt:
        return 0


class Operator:
    """All controllers over one connection."""

    def __init__(self, options: Options, defaults: Defaults) -> None:
        self._options, self._defaults = options, defaults
        self._metrics = Metrics()
        self._journal = Journal(Component.OPERATOR, wall=time.time)
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        """Work until stopped; 1 when a part gave up by itself, so that the pod is started anew."""
        connection = await Connection.open(self._options.kubeconfig)
        applier = Applier(connection.client(), self._metrics)
        self._build(connection, applier)
        server = Server(self._metrics, self._journal, probe=self._why_not_ready, clock=time.monotonic)
        try:
            port = await server.start(self._options.metrics_port)
            log.info(
                "the operator listens", port=port, server=connection.server, namespace=self._options.namespace
            )
            return await self._work()
        finally:
            await server.stop()
            await applier.close()

    def _build(self, connection: Connection, applier: Applier) -> None:
        self._applier = applier
        context = Context(
            applier=applier,
            metrics=self._metrics,
            journal=self._journal,
            system_namespace=self._options.namespace,
        )
        self._controllers = controllers(context, self._options, defaults=self._defaults)
        watched = [one for controller in self._controllers for one in controller.watched]
        self._sync = CacheSync(
            applier,
            watched,
            system_namespace=self._options.namespace,
            metrics=self._metrics,
            wake=self._wake,
        )
        everywhere = KopfWatch(connection, relisted=self._sync.ask)
        system = KopfWatch(connection, namespace=self._options.namespace, relisted=self._sync.ask)
        self._watches = (everywhere, system)
        for one in watched:
            (system if one.kind in IN_SYSTEM else everywhere).of(one.kind, one.seen)

    def _wake(self) -> None:
        for controller in self._controllers:
            controller.wake()

    async def _work(self) -> int:
        """Everything at once; the first part that ends, ends all."""
        await self._until_served()
        parts = [watch.run() for watch in self._watches]
        for controller in self._controllers:
            parts += [controller.work_queue.run(), *controller.list_watches()]
        parts += [self._sync.run(), self._begin()]
        tasks = [asyncio.create_task(part) for part in parts]
        stop = asyncio.create_task(self._stopped.wait())
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        return await _end(tasks, stop, stopped=stop in done)

    async def _begin(self) -> None:
        """Take the signals back from kopf, wait for the watches, and let the work begin."""
        for watch in self._watches:
            await watch.up()
        self._take_signals()
        await self._sync.reached()
        for controller in self._controllers:
            await controller.answered()
        for controller in self._controllers:
            await controller.work_queue.open()
        await asyncio.Event().wait()

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stopped.set)

    async def _until_served(self) -> None:
        """kopf looks for kinds once, so wait until the API server serves ours."""
        self._take_signals()
        said = ""
        while not self._stopped.is_set():
            try:
                await self._applier.uids(POWER_DOMAINS)
                return
            except KubeError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("the API server doesn't serve our kinds yet", error=said)
            await asyncio.sleep(1.0)

    async def _why_not_ready(self) -> str:
        if not self._sync.synced:
            return f"the watches of {', '.join(self._sync.behind)} have not delivered all objects yet"
        for controller in self._controllers:
            if controller.unanswered:
                return controller.unanswered
        if not await self._applier.answers(POWER_DOMAINS):
            return "the API server doesn't answer"
        return ""


async def _end(tasks: list[asyncio.Task[None]], stop: asyncio.Task[bool], *, stopped: bool) -> int:
    """Cancel what still runs, and tell of what ended by itself."""
    for task in [stop, *tasks]:
        task.cancel()
    results = await asyncio.gather(stop, *tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            log.error("a task of the operator failed", error=repr(result), exc_info=result)
    return 0 if stopped else 1


if __name__ == "__main__":
    sys.exit(main())
