"""The router with a thousand streams open at once: none is refused, cut or lost, and it lives."""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator

import aiohttp
import httpx
import pytest

from testbed.cluster.processes import Household, Process
from testbed.engines import standins
from testbed.engines.processes import NAME, free_ports
from testbed.engines.venvs import Venv

STREAMS = 1000
TOKENS, ITL_MS = 6, 1000
"""An answer takes 5 s, in which a busy machine, too, gets all of them opened."""

PATIENCE_S = 30.0
ANSWER_S = 60.0
ENGINES = 2


class Front:
    """A router before two engines; split, it sends each request to both, though they hand over no KV."""

    def __init__(self, household: Household, venv: Venv, *, split: bool) -> None:
        port, metrics = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        engines = [
            standins.start(household, f"--max-num-seqs={STREAMS}", told={"itl_ms": ITL_MS})
            for _ in range(ENGINES)
        ]
        for one in engines:
            one.wait()
        first, second = (one.url for one in engines)
        phases = ["--vllm-pd-disaggregation", "--prefill", first, "--decode", second]
        command = [str(venv.router), "--host=127.0.0.1", f"--port={port}", f"--prometheus-port={metrics}"]
        command += ["--policy=round_robin", *(phases if split else ["--worker-urls", first, second])]
        self.router: Process = household.start("router", command, environment={"PATH": "/usr/bin:/bin"})
        self.router.until(self._is_ready, timeout_s=PATIENCE_S)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readiness", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


class Crowd:
    """Clients that all stream at once; `most` is how many had got a first token and no end yet."""

    def __init__(self) -> None:
        self.open = self.most = 0

    async def ask(self, url: str) -> Counter[str]:
        """What became of the streams."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            trust_env=False,
        ) as session:
            return Counter(
                await asyncio.gather(*(self._stream(session, url, number) for number in range(STREAMS)))
            )

    async def _stream(self, session: aiohttp.ClientSession, url: str, number: int) -> str:
        body = {"model": NAME, "prompt": f"number {number}", "max_tokens": TOKENS}
        body |= {"ignore_eos": True, "stream": True}
        try:
            async with session.post(f"{url}/v1/completions", json=body) as answer:
                return await self._read(answer) if answer.status == 200 else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__

    async def _read(self, answer: aiohttp.ClientResponse) -> str:
        pieces = 0
        async for line in answer.content:
            if line.startswith(b"data: [DONE]"):
                self.open -= 1
            elif line.startswith(b"data: "):
                pieces += 1
                self.open += pieces == 1
                self.most = max(self.most, self.open)
        return f"{pieces} tokens"


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the machine lets a process have, here and in what is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=[False, True], ids=["one-pool", "split"])
def front(engine_venv: Venv, many_files: None, request: pytest.FixtureRequest) -> Iterator[Front]:
    with Household() as household:
        yield Front(household, engine_venv, split=request.param)


async def test_a_thousand_streams_at_once_are_all_answered(front: Front) -> None:
    crowd = Crowd()
    assert await crowd.ask(front.url) == {f"{TOKENS} tokens": STREAMS}
    assert crowd.most == STREAMS, "all of them were open at the same time"
    assert front.router.running
