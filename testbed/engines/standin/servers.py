"""
The stand-in's HTTP: vLLM's paths and documents, with only those fields that clients here read.

One thread a connection, which is plenty for a test and starts at once. Connections stay
open between requests, as the router keeps them in a pool.
"""

import itertools
import json
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from testbed.engines.standin.engines import Answer, Engine, Refused, Request

COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"


class Server(ThreadingHTTPServer):
    """Serves an engine; `hang` makes every request wait for ever."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ready = not engine.settings.behaviour.never_ready
        self.hung = False
        super().__init__((engine.settings.host, engine.settings.port), Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection's requests."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """`/health`, `/metrics`, `/v1/models`, `/version`."""
        self._stand_still_if_hung()
        engine = self.server.engine
        match self.path.partition("?")[0]:
            case "/health" | "/ping":
                self._reply(200 if self.server.ready else 503)
            case "/metrics":
                self._reply(
                    200, body=engine.metrics.text().encode(), kind="text/plain; version=0.0.4; charset=utf-8"
                )
            case "/v1/models":
                self._document(200, models(engine))
            case "/version":
                self._document(200, {"version": "0.32.0"})
            case _:
                self._document(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """Completions and chats, streamed or not."""
        self._stand_still_if_hung()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            document = json.loads(body or b"{}")
            answer = self.server.engine.admit(request(self.path, document), document.get("model"))
            if document.get("stream"):
                self._stream(answer, document)
            else:
                text = "".join(self.server.engine.generate(answer))
                self._document(200, self._whole(answer, text))
        except Refused as refused:
            self._refuse(refused)
        except (ValueError, TypeError, KeyError) as error:
            self._refuse(
                Refused(400, kind="BadRequestError", sentence=f"The request can't be read: {error!r}")
            )

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def _stand_still_if_hung(self) -> None:
        while self.server.hung:
            time.sleep(60)

    def _refuse(self, refused: Refused) -> None:
        error = {"message": str(refused), "type": refused.kind, "param": None, "code": refused.code}
        self._document(refused.code, {"error": error})

    def _document(self, code: int, document: dict[str, Any]) -> None:
        self._reply(code, body=json.dumps(document).encode(), kind="application/json")

    def _reply(self, code: int, *, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _whole(self, answer: Answer, text: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self.path == CHATS else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": answer.reason}
        kind = "chat.completion" if self.path == CHATS else "text_completion"
        told = {"choices": [choice], "usage": usage(answer), "kv_transfer_params": answer.transfer}
        return self._common(answer, kind) | told

    def _stream(self, answer: Answer, document: dict[str, Any]) -> None:
        words = self.server.engine.generate(answer)
        first = next(words, "")  # a refusal comes before the first byte, as a status
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self._events(answer, first, words=words, document=document):
                self._chunk(f"data: {json.dumps(event)}\n\n".encode())
        except Refused as refused:  # cut in the middle: an error among the events, then the end
            error = {"message": str(refused), "type": refused.kind, "code": refused.code}
            self._chunk(f"data: {json.dumps({'error': error})}\n\n".encode())
        finally:
            words.close()
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _events(
        self, answer: Answer, first: str, *, words: Iterable[str], document: dict[str, Any]
    ) -> Iterable[dict[str, Any]]:
        kind = "chat.completion.chunk" if self.path == CHATS else "text_completion"
        common = self._common(answer, kind)
        if self.path == CHATS:
            yield common | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
        for word in itertools.chain([first], words):
            said = {"delta": {"content": word}} if self.path == CHATS else {"text": word}
            reason = answer.reason if answer.said == answer.tokens else None
            yield common | {"choices": [{"index": 0, **said, "finish_reason": reason}]}
        if (document.get("stream_options") or {}).get("include_usage"):
            yield common | {"choices": [], "usage": usage(answer)}

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _common(self, answer: Answer, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.path == CHATS else "cmpl"
        return {
            "id": f"{prefix}-{answer.identity}",
            "object": kind,
            "created": int(time.time()),
            "model": self.server.engine.settings.names[0],
        }


def request(path: str, document: dict[str, Any]) -> Request:
    """What a client's document asks for; raises Refused for a path that is none of these two."""
    if path == CHATS:
        prompt = " ".join(f"{one['role']}: {one['content']}" for one in document["messages"])
        most = document.get("max_completion_tokens", document.get("max_tokens"))
    elif path == COMPLETIONS:
        prompt = document["prompt"]
        prompt = prompt if isinstance(prompt, str) else json.dumps(prompt)
        most = document.get("max_tokens", 16)
    else:
        raise Refused(404, kind="NotFoundError", sentence=f"No such path: {path}")
    return Request(
        prompt=prompt,
        most_tokens=None if most is None else int(most),
        ignore_eos=bool(document.get("ignore_eos")),
        transfer=document.get("kv_transfer_params"),
    )


def usage(answer: Answer) -> dict[str, Any]:
    """The count of tokens as of now."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.said,
        "total_tokens": answer.prompt_tokens + answer.said,
    }


def models(engine: Engine) -> dict[str, Any]:
    """The models served, one for each name."""
    settings = engine.settings
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": int(time.time()),
                "owned_by": "vllm",
                "root": settings.model,
                "max_model_len": settings.context_tokens,
            }
            for name in settings.names
        ],
    }
