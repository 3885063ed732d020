"""
How a report reaches the agent of the node, and what comes back.

aiohttp is used, as vLLM itself requires it; httpx is in its image only because another package needs it, and
urllib knows no limit for a request as a whole. It is imported when the channel starts, so that the package
can be read and tested without the engine's packages. The token's file is read for each report, since the
kubelet replaces it. Nothing is retried: the next report is due in seconds.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from loadline_api.worker_messages import LONGEST_WORKER_MESSAGE, WORKER_PATH
from loadline_policies.errors import LoadlineError

if TYPE_CHECKING:
    import aiohttp

ANSWER_S: Final = 2.0
"""For a report and its answer; the agent is on the same node. Chosen."""

LONGEST_SENTENCE: Final = 300
"""Characters of a refusal that are worth a line of log."""


class Unanswered(LoadlineError):
    """A report got no answer that could be read; `reason` counts it."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class AgentClient:
    """Posts reports to the agent at `url`, with the token in a file; an async context manager."""

    def __init__(self, url: str, *, token_file: Path) -> None:
        self._url, self._token_file = url.rstrip("/") + WORKER_PATH, token_file

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            connector=aiohttp.TCPConnector(limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, report: bytes) -> bytes:
        """The body of the agent's answer; Unanswered if there is none, or if the agent refuses the report."""
        from aiohttp import ClientError

        try:
            token = self._token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unanswered("no_token", f"{self._token_file} can't be read: {error}") from error
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=report, headers=headers, allow_redirects=False
            ) as response:
                body = await _bounded(response)
        except (ClientError, OSError, ValueError) as error:  # asyncio's TimeoutError is an OSError
            raise Unanswered("unreachable", f"{self._url} can't be reached: {error!r}") from error
        if response.status != 200:
            sentence = body[:LONGEST_SENTENCE].decode(errors="replace").strip()
            raise Unanswered("refused", f"{self._url} answers {response.status}: {sentence}")
        return body


async def _bounded(response: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_WORKER_MESSAGE:
            raise Unanswered("unreadable", f"an answer is longer than {LONGEST_WORKER_MESSAGE} bytes")
    return bytes(body)
