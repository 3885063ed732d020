"""
How domains hang together: parents, children, and who claims which node.

A site feeds rows and a row feeds nodes, so domains form a forest. What can be wrong
with it needs several objects at once and is therefore not the API server's to refuse:
a parent that isn't there, a chain that comes back to its beginning, children that are
promised more than there is, two leaves on one node.

A leaf is a domain that nobody names as its parent; agents find theirs the same way.
"""

from collections.abc import Iterable, Mapping

from loadline_operator.domains.facts import Domain, Node


def loop_through(name: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """The chain of parents that leads from `name` back to itself; empty if none does."""
    chain = [name]
    at = parents.get(name)
    while at is not None and at not in chain:
        chain.append(at)
        at = parents.get(at)
    return (*chain, name) if at == name else ()


def parents_of(domains: Iterable[Domain]) -> dict[str, str | None]:
    """Each domain's parent, by name."""
    return {domain.name: domain.spec.parent for domain in domains}


def children_of(name: str, domains: Iterable[Domain]) -> tuple[Domain, ...]:
    """Domains that name this one as their parent, by name."""
    return tuple(sorted((d for d in domains if d.spec.parent == name), key=lambda d: d.name))


def leaves(domains: Iterable[Domain]) -> tuple[Domain, ...]:
    """Domains with nodes of their own that are nobody's parent."""
    known = tuple(domains)
    named = {domain.spec.parent for domain in known}
    return tuple(domain for domain in known if domain.labels and domain.name not in named)


def members_of(domain: Domain, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that hang on a domain, by name."""
    if not domain.labels:
        return ()
    return tuple(sorted((n for n in nodes if n.matches(domain.labels)), key=lambda n: n.name))


def rivals(
    domain: Domain, members: Iterable[Node], domains: Iterable[Domain], *, armed_for: Mapping[str, str]
) -> dict[str, str]:
    """Nodes that another leaf claims too and has, with its name.

    A node stays with the leaf that it is armed for, while that one selects it; else the oldest has it.
    `armed_for` maps nodes to domains.
    """
    leafs = sorted(leaves(domains), key=lambda leaf: (leaf.created, leaf.name))
    if domain.name not in {leaf.name for leaf in leafs}:
        return {}
    owners = {}
    for node in members:
        claims = [leaf.name for leaf in leafs if node.matches(leaf.labels)]
        armed = armed_for.get(node.name)
        owners[node.name] = armed if armed in claims else claims[0]
    return {node: owner for node, owner in owners.items() if owner != domain.name}
