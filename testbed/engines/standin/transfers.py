"""
KV from prefill to decode, as far as a life cycle can tell: who asks whom, and whether they meet.

NIXL's handshake goes to the host and port that the prefill engine named, so a wrong
address, a network policy or a prefill pod that is gone shows there. Here the same two
meet over the same port: a decode asks for a request by its name, and is told how many
tokens it has.
"""

import json
import socket
import socketserver
import threading
import uuid
from collections import OrderedDict
from typing import Any

KEPT = 1024
"""Chosen: vLLM keeps a request's blocks for 30 s or until they are fetched."""

TIMEOUT_S = 5.0
BYTES_A_TOKEN = 4096
"""Chosen; a token's keys and values of a small model."""


class TransferFailed(Exception):
    """The prefill engine could not be met, or no longer has the request."""


class HeldKv:
    """The KV that a prefill engine holds ready for others; listens on the side channel."""

    def __init__(self, host: str, port: int) -> None:
        self.engine = str(uuid.uuid4())
        self._held: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        held = self

        class Asked(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                tokens = held._take(json.loads(self.rfile.readline()))
                self.wfile.write(json.dumps({"tokens": tokens}).encode() + b"\n")

        self._server = _Server((host, port), Asked)
        self.host, self.port = host, int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, request: str, tokens: int) -> dict[str, Any]:
        """Hold a request's KV ready; gives the parameters with which a decode finds it."""
        with self._lock:
            self._held[request] = tokens
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
        return {
            "do_remote_prefill": True,
            "do_remote_decode": False,
            "remote_block_ids": [list(range(1, 2 + tokens // 128))],
            "remote_engine_id": self.engine,
            "remote_request_id": request,
            "remote_host": self.host,
            "remote_port": self.port,
            "tp_size": 1,
            "remote_num_tokens": tokens,
        }

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self, asked: dict[str, Any]) -> int | None:
        if asked.get("engine") != self.engine:
            return None
        with self._lock:
            return self._held.pop(str(asked.get("request")), None)


def fetch(parameters: dict[str, Any]) -> int:
    """Load the KV that the parameters tell of; gives the number of tokens, or raises TransferFailed."""
    address = str(parameters.get("remote_host")), int(parameters.get("remote_port") or 0)
    asked = {"engine": parameters.get("remote_engine_id"), "request": parameters.get("remote_request_id")}
    try:
        with socket.create_connection(address, TIMEOUT_S) as channel:
            channel.sendall(json.dumps(asked).encode() + b"\n")
            tokens = json.loads(channel.makefile().readline() or "{}").get("tokens")
    except (OSError, ValueError) as error:
        raise TransferFailed(f"no KV from {address[0]}:{address[1]}: {error}") from error
    if tokens is None:
        raise TransferFailed(f"{address[0]}:{address[1]} no longer holds {asked['request']}")
    return int(tokens)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
