"""
Events of a kind, handed on to whoever follows it.

An object is as odd as its writer likes, and several controllers read it in turn. What one of them
can't stand is told in the log, and stops neither the others nor the watch: it would end there again
with each new try, and with it what is known of all other objects.
"""

from collections.abc import Callable

import structlog

from loadline_operator.kube.kinds import Key, Kind, Manifest

Seen = Callable[[Manifest, bool], None]
"""Called with an object and whether it is gone."""

log = structlog.get_logger("loadline.operator")


def hand_on(kind: Kind, seen: Seen, raw: Manifest, *, gone: bool) -> None:
    """Tell one observer of an object."""
    try:
        seen(raw, gone)
    except Exception as error:
        log.warning(
            "an event was passed over",
            kind=kind.kind,
            object=str(Key.of(raw)),
            error=f"{type(error).__name__}: {error}",
            exc_info=error,
        )
