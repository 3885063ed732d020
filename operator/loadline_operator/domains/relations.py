"""
Which domains a moved object concerns, and what the plan of one domain has to look at.

A plan looks at a domain's nodes, at whoever else claims them, at its parents and its
children, and at nothing else. Kept at hand, that is a few objects; looked for anew among
all nodes and domains for each of a thousand domains whenever one node moves, it kept the
operator from everything else for 14 s. So each move changes these relations, and tells
whose plan may be another now: never too few, or a status would stay wrong until the next
comparison of everything.
"""

from collections import defaultdict
from typing import TypeVar

from loadline_operator.domains.facts import Domain, Node

Label = tuple[str, str]

K = TypeVar("K")


class Relations:
    """Nodes and domains as they are now, and how they hang together, by name."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._domains: dict[str, Domain] = {}
        self._members: dict[str, dict[str, Node]] = {}
        self._claims: defaultdict[str, set[str]] = defaultdict(set)
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._selecting: defaultdict[Label, set[str]] = defaultdict(set)

    def members(self, domain: str) -> tuple[Node, ...]:
        """The nodes that a domain's labels select, in no order."""
        return tuple(self._members.get(domain, {}).values())

    def claiming(self, node: str) -> frozenset[str]:
        """The domains whose labels select a node."""
        return frozenset(self._claims.get(node, ()))

    def related(self, domain: str) -> tuple[Domain, ...]:
        """A domain and all that its plan looks at; of others' children one, which says they are no leaves."""
        sharing = self._sharing(domain)
        names = {domain, *self._children.get(domain, ()), *self._ancestors(domain), *sharing}
        names |= {next(iter(self._children[one])) for one in sharing if self._children.get(one)}
        return tuple(self._domains[name] for name in names if name in self._domains)

    def node_moved(self, name: str, node: Node | None) -> frozenset[str]:
        """A node is so now, or gone; the domains that it concerns."""
        before = self._claims.pop(name, set())
        for domain in before:
            del self._members[domain][name]
        self._nodes.pop(name, None)
        if node is None:
            return frozenset(before)
        self._nodes[name] = node
        after = {one for label in node.labels.items() for one in self._selecting.get(label, ())}
        for domain in after:
            if node.matches(self._domains[domain].labels):
                self._select(domain, node)
        return frozenset(before) | self.claiming(name)

    def domain_moved(self, name: str, domain: Domain | None) -> frozenset[str]:
        """A domain is so now, or gone; the domains that it concerns, itself among them."""
        before = self._domains.get(name)
        if before is not None and domain is not None and _declared(before) == _declared(domain):
            self._domains[name] = domain
            return frozenset({name})
        concerned = self._concerned(name)
        if before is not None:
            self._forget(before)
        if domain is not None:
            self._add(domain)
        return concerned | self._concerned(name)

    def _concerned(self, name: str) -> frozenset[str]:
        """Who looks at a domain: its family, and whoever shares nodes with it or with its parent.

        Its parent is no leaf any more once it is named as one, and then claims nothing.
        """
        domain = self._domains.get(name)
        found = {name, *self._children.get(name, ()), *self._ancestors(name), *self._sharing(name)}
        if domain is not None and domain.spec.parent is not None:
            found |= self._sharing(domain.spec.parent)
        return frozenset(found)

    def _ancestors(self, name: str) -> tuple[str, ...]:
        """The chain of parents, once around where it is a loop."""
        chain: dict[str, None] = {}
        at = self._parent(name)
        while at is not None and at not in chain:
            chain[at] = None
            at = self._parent(at)
        return tuple(chain)

    def _parent(self, name: str) -> str | None:
        domain = self._domains.get(name)
        return domain.spec.parent if domain is not None else None

    def _sharing(self, name: str) -> set[str]:
        """The domains that claim a node of this one."""
        return set().union(*(self._claims[node] for node in self._members.get(name, ())))

    def _add(self, domain: Domain) -> None:
        self._domains[domain.name] = domain
        self._members[domain.name] = {}
        if domain.spec.parent is not None:
            self._children[domain.spec.parent].add(domain.name)
        if domain.labels:
            self._selecting[_looked_up_by(domain)].add(domain.name)
            for node in self._nodes.values():
                if node.matches(domain.labels):
                    self._select(domain.name, node)

    def _forget(self, domain: Domain) -> None:
        del self._domains[domain.name]
        for node in self._members.pop(domain.name):
            _discard(self._claims, node, domain.name)
        if domain.spec.parent is not None:
            _discard(self._children, domain.spec.parent, domain.name)
        if domain.labels:
            _discard(self._selecting, _looked_up_by(domain), domain.name)

    def _select(self, domain: str, node: Node) -> None:
        self._members[domain][node.name] = node
        self._claims[node.name].add(domain)


def _looked_up_by(domain: Domain) -> Label:
    """One of the labels that select a domain's nodes: a node without it needn't be compared."""
    return min(domain.labels.items())


def _declared(domain: Domain) -> tuple[object, ...]:
    """All that others look at."""
    return domain.uid, domain.created, domain.spec


def _discard(sets: dict[K, set[str]], key: K, name: str) -> None:
    sets[key].discard(name)
    if not sets[key]:
        del sets[key]
