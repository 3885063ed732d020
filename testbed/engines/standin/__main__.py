"""
Starts the stand-in with vLLM's command line, has it misbehave on time, and ends it on SIGTERM.

    python -m testbed.engines.standin --model tiny --port 8000 [whatever vLLM takes]
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from testbed.engines.standin import settings
from testbed.engines.standin.engines import Engine
from testbed.engines.standin.servers import Server

TERMINATION_LOG = "/dev/termination-log"


def main() -> None:
    """Serve until SIGTERM, SIGINT or the crash that was ordered."""
    told = settings.read(sys.argv[1:])
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    behaviour = told.behaviour
    _at(behaviour.crash_after_s, lambda: _crash(behaviour))
    if ended.wait(behaviour.start_s):
        return
    engine = Engine(told)
    server = Server(engine)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(f"serving {told.names[0]} on {told.host}:{server.server_address[1]}", file=sys.stderr, flush=True)
    _at(behaviour.hang_after_s, lambda: setattr(server, "hung", True))
    memory = _fill(behaviour.allocate_mib)
    ended.wait()
    drained = engine.close(told.drain_s)
    server.shutdown()
    time.sleep(0.1)  # the last answers are on their way
    print(
        f"ended with {len(memory)} MiB, {'nothing' if drained else 'requests'} cut",
        file=sys.stderr,
        flush=True,
    )
    os._exit(0)


def _at(seconds: float | None, act: Callable[[], None]) -> None:
    """Have something done later, whatever goes on meanwhile."""
    if seconds == 0:
        act()
    elif seconds is not None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()


def _crash(behaviour: settings.Behaviour) -> None:
    if behaviour.last_words:
        print(behaviour.last_words, file=sys.stderr, flush=True)
        if os.access(TERMINATION_LOG, os.W_OK):
            with open(TERMINATION_LOG, "w") as log:
                log.write(behaviour.last_words)
    os._exit(behaviour.exit_code)


def _fill(mib: int) -> list[bytearray]:
    """Take memory and touch every page of it."""
    return [bytearray(os.urandom(1) * 2**20) for _ in range(mib)]


if __name__ == "__main__":
    main()
