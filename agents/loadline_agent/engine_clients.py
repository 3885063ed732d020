"""
How the agent asks an engine, which is a tenant's: for metrics, and for what its model makes of a text.

An answer is bounded in size and time, no redirection is followed, no cookie is kept, and no proxy of the
agent's environment is used.
"""

from typing import Any

import aiohttp

from loadline_policies.errors import InvalidInput


class OtherStatus(Exception):
    """An answer with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def sessions(*, answer_s: float) -> aiohttp.ClientSession:
    """A client that asks engines and trusts them with nothing; `answer_s` is for each whole answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            force_close=True,  # vLLM would close it after 5 s anyway
            ssl=False,  # a pod's address is in no certificate, and figures of tenants prove nothing anyway
        ),
        timeout=aiohttp.ClientTimeout(total=answer_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
        auto_decompress=False,
    )


async def get(session: aiohttp.ClientSession, url: str, *, most_bytes: int) -> bytes:
    """The body of an answer; OtherStatus if there is none, InvalidInput if it is too long."""
    async with session.get(url, allow_redirects=False) as response:
        return await _body(response, most_bytes)


async def post(session: aiohttp.ClientSession, url: str, data: bytes, *, most_bytes: int) -> bytes:
    """The body of the answer to JSON; OtherStatus if there is none, InvalidInput if it is too long."""
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    async with session.post(url, data=data, headers=headers, allow_redirects=False) as response:
        return await _body(response, most_bytes)


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    if response.status != 200:
        raise OtherStatus(response.status)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            raise InvalidInput("answer", f"over {most_bytes} bytes", fix="send less")
    return bytes(body)
