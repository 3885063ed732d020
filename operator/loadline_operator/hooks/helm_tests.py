"""
`helm test`: checks that the operator is ready, that the API server serves Loadline's kinds, and that a
service answers.

It needs no permission beyond being authenticated, since it asks what any client may: the operator's
readiness, the API server's discovery, and, if a service is named, the engine for its model and one
short completion. So every user who may run Helm in the system namespace can run it, and it leaves no
objects behind.

    python -m loadline_operator.trials --operator http://loadline-operator.loadline-system:9477
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from loadline_api.api_errors import KubeError
from loadline_api.names import API_VERSION, RESOURCES
from loadline_api.visible_texts import visible_lines
from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed
from loadline_operator.kube.kinds import Manifest

TIMEOUT_S = 120
PAUSE_S = 1.0
TRY_S = 30.0
"""Chosen for a completion of a few tokens on a slow engine."""

PROMPT, TOKENS = "A load line is the mark on a ship's hull that", 8

Check = Callable[[], Awaitable[str]]
"""One check: its result as a sentence, or HookFailed with the error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks; 0 if every check passes."""
    summary = "Check the operator, the API server and, if one is named, an InferenceService."
    parser = jobs.parser("loadline_operator.trials", summary, timeout_s=TIMEOUT_S)
    parser.add_argument("--operator", required=True, help="URL of the operator's metrics port")
    parser.add_argument("--service", help="URL of an engine or router to send one request to")
    return jobs.run(attempt, parser.parse_args(arguments))


async def attempt(api: Api, options: argparse.Namespace) -> None:
    """Run the checks in order, each repeatedly until it passes or the time is over."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TRY_S)) as http:
        checks: list[Check] = [lambda: _ready(http, options.operator), lambda: _served(api)]
        if options.service:
            checks.append(lambda: _answers(http, options.service))
        for check in checks:
            print(visible_lines(await _until(check, api)), flush=True)


async def _until(check: Check, api: Api) -> str:
    while True:
        try:
            return await check()
        except (HookFailed, KubeError, aiohttp.ClientError, TimeoutError) as error:
            if api.over:
                raise HookFailed(str(error) or type(error).__name__) from error
        await asyncio.sleep(PAUSE_S)


async def _ready(http: aiohttp.ClientSession, operator: str) -> str:
    async with http.get(f"{operator}/readyz") as answer:
        text = (await answer.text()).strip()
        if answer.status != 200:
            raise HookFailed(f"the operator is not ready: {text}")
    return "the operator is ready"


async def _served(api: Api) -> str:
    served = {one["name"] for one in (await api.get(f"/apis/{API_VERSION}"))["resources"]}
    lacking = [resource.plural for resource in RESOURCES if resource.plural not in served]
    if lacking:
        raise HookFailed(f"the API server doesn't serve {', '.join(lacking)} of {API_VERSION}")
    return f"the API server serves {', '.join(resource.plural for resource in RESOURCES)}"


async def _answers(http: aiohttp.ClientSession, service: str) -> str:
    models = await _asked(http, method="GET", url=f"{service}/v1/models")
    model = models["data"][0]["id"]
    body = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0.0}
    began_s = time.monotonic()
    answer = await _asked(http, method="POST", url=f"{service}/v1/completions", body=body)
    tokens = answer["usage"]["completion_tokens"]
    if not tokens:
        raise HookFailed(f"{service} returned a completion without tokens for model {model}: {answer}")
    return f"{service} completed {tokens} tokens of {model} in {time.monotonic() - began_s:.1f} s"


async def _asked(
    http: aiohttp.ClientSession, *, method: str, url: str, body: dict[str, object] | None = None
) -> Manifest:
    async with http.request(method, url, json=body) as answer:
        if answer.status != 200:
            raise HookFailed(f"{method} {url}: {answer.status}: {(await answer.text())[:500]}")
        return dict(await answer.json())
