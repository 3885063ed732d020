"""
Lets this very process see a node of a board through pynvml, for a while.

A child gets its node by `build.environment` before it starts. A test that looks
at many boards in one process joins them one after another instead: the library
reads the environment at each nvmlInit.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pynvml  # type: ignore[import-untyped]

from testbed.fakegpu import build


@contextmanager
def joined(board_path: Path, node: int | str = 0) -> Iterator[None]:
    """Make pynvml's next nvmlInit find the GPUs of `node`; at the end the environment is put back.

    Nothing stays initialised: the next one to join would be shown the same GPUs.
    """
    build.preload()
    named = {"LOADLINE_FAKEGPU_BOARD": str(board_path), "LOADLINE_FAKEGPU_NODE": str(node)}
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        with suppress(pynvml.NVMLError):
            while True:
                pynvml.nvmlShutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
