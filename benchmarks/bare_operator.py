"""
The floor under the operator: kopf watching the same kinds, and doing nothing about them.

The same server-side label filters, the same settings, no client of its own, no facts and
no plans. Runs until it is killed.

    python -m benchmarks.bare_operator SERVER CA TOKEN-FILE
"""

import asyncio
import sys
from pathlib import Path

import kopf

from loadline_operator.kube.kinds import EVERYWHERE, Kind
from loadline_operator.kube.kopf_watches import settings


def main() -> None:
    """Watch for ever."""
    server, ca, token = sys.argv[1:4]
    registry, options = kopf.OperatorRegistry(), settings()

    @kopf.on.login(registry=registry)
    def login(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=server, ca_path=ca, token=Path(token).read_text().strip())

    for kind in EVERYWHERE:
        _watch(registry, options, kind)
    asyncio.run(kopf.operator(registry=registry, settings=options, standalone=True, clusterwide=True))


def _watch(registry: kopf.OperatorRegistry, options: kopf.OperatorSettings, kind: Kind) -> None:
    if kind.selector:
        options.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector

    @kopf.on.event(
        group=kind.group, version=kind.version, plural=kind.plural, id=kind.plural, registry=registry
    )
    async def seen(**_: object) -> None:
        return None


if __name__ == "__main__":
    main()
