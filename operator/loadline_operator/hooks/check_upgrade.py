"""
Stops an upgrade that would break up a row which is in force, before anything is changed.

Agents of two versions of the wire don't understand each other, so during the rollout an armed
node is without a lease, at its safe limits, until its coordinator speaks as it does: that is safe,
and slow for as long as the rollout takes. So before that the row is released. Whether this
upgrade is such a one is in what runs: every agent publishes the version that it speaks in its
NodeCapacity, and one that publishes none is from before version 2.

This hook lists two kinds and writes nothing. Of a kind that isn't served there is no object that
could be armed; an API server that doesn't answer, or refuses, proves nothing, so it fails then.

    python -m loadline_operator.upgrades
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS
from loadline_api.reports import WIRE_VERSION
from loadline_api.sentences import some_of
from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed, enforces
from loadline_operator.kube.kinds import Manifest

TIMEOUT_S = 60
NAMED = 4
"""How many nodes of a domain are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is in force of one domain, empty for none, by agents that speak another version of the wire.

    `nodes` are armed; `coordinator` is one of them, or about to arm some. `versions` are what they speak.
    """

    domain: str
    nodes: tuple[str, ...]
    coordinator: str | None = None
    versions: tuple[str, ...] = ()

    def __str__(self) -> str:
        row = f"PowerDomain {self.domain}" if self.domain else "nodes without a PowerDomain"
        named = some_of(self.nodes, NAMED) or "no node yet"
        led = f", led from {self.coordinator}" if self.coordinator else ""
        return f"{row} ({named}{led}: version {' and '.join(self.versions)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Look; 0 if no row would be broken up, or if that is allowed."""
    summary = "Say whether a row that is in force would fall to its safe limits during the upgrade."
    parser = jobs.parser("loadline_operator.upgrades", summary, timeout_s=TIMEOUT_S)
    parser.add_argument(
        "--allow-enforced", action="store_true", help="only say which rows would, and pass all the same"
    )
    return jobs.run(check, parser.parse_args(arguments))


async def check(api: Api, options: argparse.Namespace) -> None:
    """Print what was found; HookFailed where a row would be broken up and that isn't allowed."""
    domains, nodes = await api.items(POWER_DOMAINS), await api.items(NODE_CAPACITIES)
    broken = broken_up(domains, nodes)
    if not broken:
        print(_fine(sum(map(enforces, nodes))))
    elif options.allow_enforced:
        print(f"{_found(broken)}. upgrade.allowEnforced lets it go on")
    else:
        raise HookFailed(f"{_found(broken)}. {_mend(broken)}")


def broken_up(domains: Sequence[Manifest], nodes: Sequence[Manifest]) -> tuple[Row, ...]:
    """The rows that are in force, or about to be, by agents that don't speak this version of the wire."""
    others = {name: node for name, node in _named(nodes) if _status(node).get("wireVersion") != WIRE_VERSION}
    armed = {name: str(_status(node).get("domain") or "") for name, node in others.items() if enforces(node)}
    led = {name: str(_status(one).get("coordinator") or "") for name, one in _named(domains) if enforces(one)}
    led = {domain: coordinator for domain, coordinator in led.items() if coordinator in others}
    rows = []
    for domain in sorted({*armed.values(), *led}):
        members = tuple(sorted(name for name, of in armed.items() if of == domain))
        coordinator = led.get(domain)
        spoken = {_spoken(others[name]) for name in (*members, *filter(None, [coordinator]))}
        rows.append(
            Row(domain=domain, nodes=members, coordinator=coordinator, versions=tuple(sorted(spoken)))
        )
    return tuple(rows)


def _spoken(node: Manifest) -> str:
    return str(_status(node).get("wireVersion") or "before 2")


def _named(objects: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    return ((str(one["metadata"]["name"]), one) for one in objects)


def _status(one: Manifest) -> Manifest:
    return one.get("status") or {}


def _fine(armed: int) -> str:
    if not armed:
        return "no node is armed: this upgrade breaks up no row"
    spoken = f"version {WIRE_VERSION} of the wire, as the new ones do"
    return f"agents of all {armed} armed nodes speak {spoken}: this upgrade breaks up no row"


def _found(rows: Sequence[Row]) -> str:
    return (
        f"the new agents speak version {WIRE_VERSION} of the wire, and those that hold rows now another:"
        f" {'; '.join(map(str, rows))}. These would stay at their safe limits until the rollout is over"
    )


def _mend(rows: Sequence[Row]) -> str:
    example = next((row.domain for row in rows if row.domain), "NAME")
    patch = f"""kubectl patch powerdomain {example} --type merge -p '{{"spec":{{"mode":"Observe"}}}}'"""
    return (
        f"Nothing has been changed. Release them first: `{patch}`, wait until its condition Enforcing is"
        " False, run the same again, and set `mode: Enforce` after it. An upgrade goes on all the same with"
        " `--set upgrade.allowEnforced=true`, a rollback with `--no-hooks`"
    )
