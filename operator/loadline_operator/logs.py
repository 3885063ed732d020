"""
One JSON object a line on stderr: a constant sentence, and fields beside it.

kopf and the libraries log through the standard library; their lines get the same shape,
so that one parser reads all of them. While an API server is away, each watch of kopf
tells of each retry as an error; of those lines one in a while is kept, as a warning.
"""

import logging
import sys
import time
from collections.abc import Callable

import structlog

LEVELS = ("debug", "info", "warning", "error")

_SHARED: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


RETRY_EVERY_S = 30.0
"""Chosen: an outage stays visible, and a minute of it is two lines instead of two hundred."""


class RareRetries(logging.Filter):
    """Lets kopf's line about a retried request through now and then, as a warning.

    `clock` is in seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock, self._kept_s = clock, float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is kept."""
        if not (record.name.startswith("kopf") and "will retry" in record.getMessage()):
            return True
        if self._clock() - self._kept_s < RETRY_EVERY_S:
            return False
        self._kept_s = self._clock()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def configure(level: str) -> None:
    """Log at `level` and above, one of LEVELS; libraries at warnings and above, unless at debug."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RareRetries(time.monotonic))
    logging.basicConfig(handlers=[handler], level=_number(level), force=True)
    for library in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(library).setLevel(_number(level) if level == "debug" else logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
