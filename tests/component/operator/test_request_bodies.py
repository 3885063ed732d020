"""What the operator sends to the API server is UTF-8, in the forms that its readers take."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import yaml
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from loadline_operator.kube.apply import Applier
from loadline_operator.kube.kinds import EVENTS, INFERENCE_SERVICES, Key, Manifest
from loadline_operator.metrics import Metrics

TEXT = "größe 模型 🚀 \x07 \x7f \x85 \u2028 \ufeff \uffff"
SENT = Key("shop", "chat")


class ApiServer:
    """Keeps what was sent, and answers with nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.sent.append((request.content_type, await request.read()))
        return web.json_response({})


@asynccontextmanager
async def served(api: ApiServer) -> AsyncIterator[Applier]:
    """An applier whose API server is `api`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    applier = Applier(ApiClient(configuration=configuration), Metrics())
    try:
        yield applier
    finally:
        await applier.close()
        await runner.cleanup()


def manifest(text: str) -> Manifest:
    return {**INFERENCE_SERVICES.manifest(SENT), "status": {"conditions": [{"message": text}]}}


async def test_an_apply_is_read_alike_as_yaml_and_as_json() -> None:
    api = ApiServer()
    async with served(api) as applier:
        await applier.apply_status(INFERENCE_SERVICES, manifest(TEXT))
        await applier.apply(INFERENCE_SERVICES, manifest(TEXT))
    for content, body in api.sent:
        assert content == "application/apply-patch+yaml"
        assert "🚀".encode() in body
        assert yaml.safe_load(body) == json.loads(body) == manifest(TEXT)


async def test_half_an_emoji_stops_no_apply() -> None:
    api = ApiServer()
    async with served(api) as applier:
        await applier.apply_status(INFERENCE_SERVICES, manifest("a \ud83d b \ude80"))
    ((_, body),) = api.sent
    assert yaml.safe_load(body) == manifest("a \ufffd b \ufffd")


async def test_what_is_read_as_json_alone_is_json() -> None:
    """Escaped or not: JSON has surrogate pairs, and the API server's decoder replaces halves of one."""
    api = ApiServer()
    event = {**EVENTS.manifest(SENT), "message": f"{TEXT} \ud800"}
    async with served(api) as applier:
        await applier.create_event(EVENTS, event)
    ((content, body),) = api.sent
    assert content == "application/json"
    assert json.loads(body) == event
