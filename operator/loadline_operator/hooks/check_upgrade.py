"""
Stops an upgrade that would leave an enforced PowerDomain without leases, before anything is changed.

Agents of two wire versions don't understand each other. So during a rollout between wire versions an
armed node gets no lease, and stays at its safe limits until its coordinator runs the same version:
that is safe, but slow for as long as the rollout takes. So the administrator should release the domain
first. The hook compares the wire version of the new image with those of the running agents: every
agent publishes its own in its NodeCapacity, and one that publishes none is from before version 2.

This hook lists two kinds and writes nothing. If the API server doesn't serve a kind, there is no object
of it that could be armed. If the API server doesn't answer, or refuses, the hook fails.

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
"""At most so many nodes of a domain are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The nodes of one domain (empty: of none) that are armed by agents of another wire version.

    `coordinator` is one of these nodes, or about to arm some; `versions` are the wire versions of all these.
    """

    domain: str
    nodes: tuple[str, ...]
    coordinator: str | None = None
    versions: tuple[str, ...] = ()

    def __str__(self) -> str:
        row = f"PowerDomain {self.domain}" if self.domain else "nodes without a PowerDomain"
        named = some_of(self.nodes, NAMED) or "no node yet"
        led = f", coordinator {self.coordinator}" if self.coordinator else ""
        return f"{row} ({named}{led}: wire version {' and '.join(self.versions)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; 0 if no enforced domain would step down, or if `--allow-enforced` permits it."""
    summary = "Check whether an enforced PowerDomain would step down to its safe limits during the upgrade."
    parser = jobs.parser("loadline_operator.upgrades", summary, timeout_s=TIMEOUT_S)
    parser.add_argument(
        "--allow-enforced", action="store_true", help="print these PowerDomains, but exit with 0 all the same"
    )
    return jobs.run(check, parser.parse_args(arguments))


async def check(api: Api, options: argparse.Namespace) -> None:
    """Print the result; HookFailed if an enforced domain would step down and that isn't allowed."""
    domains, nodes = await api.items(POWER_DOMAINS), await api.items(NODE_CAPACITIES)
    broken = broken_up(domains, nodes)
    if not broken:
        print(_fine(sum(map(enforces, nodes))))
    elif options.allow_enforced:
        print(f"{_found(broken)}. The upgrade continues because upgrade.allowEnforced is true")
    else:
        raise HookFailed(f"{_found(broken)}. {_fix(broken)}")


def broken_up(domains: Sequence[Manifest], nodes: Sequence[Manifest]) -> tuple[Row, ...]:
    """The domains that are enforced, or about to be, by agents of another wire version than this image's."""
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
        return "no node enforces limits: no PowerDomain steps down during this upgrade"
    return (
        f"the agents of all {armed} nodes that enforce limits have wire version {WIRE_VERSION}, like the new"
        " agents: no PowerDomain steps down during this upgrade"
    )


def _found(rows: Sequence[Row]) -> str:
    return (
        f"the new agents have wire version {WIRE_VERSION}, but agents that enforce limits now have another:"
        f" {'; '.join(map(str, rows))}. These nodes would stay at their safe limits until the rollout is over"
    )


def _fix(rows: Sequence[Row]) -> str:
    example = next((row.domain for row in rows if row.domain), "NAME")
    patch = f"""kubectl patch powerdomain {example} --type merge -p '{{"spec":{{"mode":"Observe"}}}}'"""
    return (
        f"Nothing has been changed. Release the nodes first: run `{patch}`, wait until condition Enforcing of"
        " the PowerDomain is False, repeat the upgrade, and set `mode: Enforce` again afterwards. To upgrade"
        " without releasing them, use `--set upgrade.allowEnforced=true`; to roll back, `--no-hooks`"
    )
