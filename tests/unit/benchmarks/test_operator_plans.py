"""The benchmark of the operator's plans tells what a move costs, and would notice one that wasn't planned."""

import pytest

from benchmarks import operator_plans
from loadline_operator.domains.handlers import Domains


def test_few_domains_are_planned_at_a_move_and_none_is_left() -> None:
    figures = operator_plans.measured(domains=30, nodes=60, moves=4)
    assert figures.nothing_left
    assert figures.planned < 4 * 30
    assert all(check.ok for check in operator_plans.checks(figures))


def test_a_domain_that_a_move_concerns_and_nobody_plans_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(self: Domains, key: object, node: object) -> None:
        self._relations.node_moved(key.name, node)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(Domains, "_node_moved", moved)
    assert not operator_plans.measured(domains=30, nodes=60, moves=1).nothing_left
