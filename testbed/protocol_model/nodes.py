"""
A node: one GPU, an agent and a guard that may die, an armed record, and the lease it obeys.

Each second it looks, reports, takes a lease if one arrives, writes what it should, and, without a
lease in time, steps down to min(current, safe). Nothing here raises a limit at a deadline.
"""

from dataclasses import dataclass

from testbed.protocol_model import proofs
from testbed.protocol_model.hardware import Gpu
from testbed.protocol_model.messages import Lease, Report
from testbed.protocol_model.proofs import Proof
from testbed.protocol_model.rules import Rule, Times
from testbed.protocol_model.values import changed


@dataclass(frozen=True)
class Record:
    """What the node is bound to, on its disk: written before the guard reads it."""

    safe_watts: int
    epoch: int
    boot: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node's truth. `heard` and `answered` are its two ways to and from the leaders.

    `selected` says whether the domain selects it, `tries` how often a release has failed,
    `stays` says that it reports to the older of two leaders, `late` that answers take a second, in
    which the one under way is `coming`.
    """

    gpu: Gpu
    proof: Proof
    selected: bool = True
    heard: bool = True
    answered: bool = True
    agent: bool = True
    guard: bool = True
    record: Record | None = None
    recordable: bool = True
    lease: Lease | None = None
    lease_left_s: int = 0
    tries: int = 0
    heat_age_s: int = 0
    stays: bool = False
    late: bool = False
    coming: Lease | None = None

    @property
    def bound(self) -> Record | None:
        """The record that is in force: one of this boot."""
        return self.record if self.record is not None and self.record.boot == self.gpu.boot else None

    @property
    def able(self) -> bool:
        """Whether the node says that it falls to the safe limit of its record by itself."""
        return self.bound is not None and self.guard and self.proof.able

    @property
    def true_fall_watts(self) -> int:
        """What the node truly comes to with nobody's help."""
        record = self.bound
        if record is None or not self.gpu.settable or not (self.guard or self.agent):
            return self.gpu.requested_watts
        return min(self.gpu.requested_watts, record.safe_watts)


def reachable(node: Node) -> bool:
    """Whether orders reach the node and its record."""
    return node.agent and node.heard and node.answered and node.recordable


def faulty(node: Node) -> bool:
    """Whether something is truly wrong with the node, so that its worst may be above what is planned."""
    gpu = node.gpu
    return not (node.able and reachable(node) and gpu.settable and gpu.readable)


def least_watts(node: Node) -> int:
    """The least that a leader could make the node fall to: its lowest limit, if it can obey."""
    return node.gpu.lowest_watts if reachable(node) and node.gpu.settable else node.true_fall_watts


def fresh(gpu: Gpu) -> Node:
    """A node that no domain has ever armed."""
    return Node(gpu=gpu, proof=Proof(known_watts=gpu.requested_watts, read_watts=gpu.requested_watts))


def looked(node: Node, times: Times) -> Node:
    """The node after its agent has looked at the GPU."""
    if not node.agent:
        return node
    safe_watts = node.bound.safe_watts if node.bound else None
    proof = proofs.looked(node.proof, node.gpu, safe_watts=safe_watts, times=times)
    return node if proof is node.proof else changed(node, proof=proof)


def report_of(node: Node, *, busy: bool, times: Times) -> Report:
    """What the node says of itself."""
    gpu, lease = node.gpu, node.lease
    return Report(
        lowest_watts=gpu.lowest_watts,
        highest_watts=gpu.highest_watts,
        holds_watts=node.proof.holds_watts(gpu, times),
        requested_watts=node.proof.read_watts,
        drawn_watts=drawn_watts(node, busy=busy),
        able=node.able,
        at_fault=node.proof.at_fault,
        safe_watts=node.bound.safe_watts if node.bound else None,
        safe_epoch=node.bound.epoch if node.bound else 0,
        order_watts=lease.order_watts if lease else None,
        order_epoch=lease.epoch if lease else 0,
        braked=lease.braked if lease else False,
        heat=lease.heat if lease else 0.0,
        heat_age_s=node.heat_age_s,
    )


def drawn_watts(node: Node, *, busy: bool) -> int:
    """What the GPU draws: all that it may when busy, else the fifth of its lowest limit."""
    return node.gpu.enforced_watts if busy else node.gpu.lowest_watts // 5


def answered(node: Node, lease: Lease | None, *, times: Times) -> Node:
    """The node after this second's answer, if there is one, or after the late one of the second before."""
    if not node.late:
        return obeyed(node, lease, times=times) if lease else node
    if node.coming is not None:
        node = obeyed(node, node.coming, times=times)
        node = changed(node, lease_left_s=max(0, node.lease_left_s - 1))
    return changed(node, coming=lease)


def obeyed(node: Node, lease: Lease, *, times: Times) -> Node:
    """The node after a lease: the record first, then the lease; a release ends both.

    A live lease of a newer leader is obeyed alone.
    """
    if node.lease is not None and node.lease_left_s > 0 and lease.epoch < node.lease.epoch:
        return node
    if lease.release:
        return _released(node)
    record = node.record
    if node.recordable:
        record = Record(lease.safe_watts, lease.epoch, node.gpu.boot)
    if record is None or record.boot != node.gpu.boot:
        return node  # a node whose record can't be written isn't armed, and writes nothing
    return changed(node, record=record, lease=lease, lease_left_s=times.lease_s, heat_age_s=0)


def acted(node: Node, *, rule: Rule, times: Times) -> Node:
    """The node after this second's write, or after its step down where no lease binds it any more."""
    if node.bound is None:
        return node
    if node.lease_left_s == 0 or not node.agent:
        return _stepped_down(node, times)
    watts = _wanted_watts(node, rule, times)
    probing = node.proof.failing and node.proof.probe_in_s == 0
    proof, gpu = proofs.wrote(node.proof, node.gpu, watts)
    if probing:
        proof = changed(proof, probe_in_s=times.probe_every_s)
    age_s = min(node.heat_age_s + 1, times.lease_s + 1)
    return changed(node, proof=proof, gpu=gpu, lease_left_s=node.lease_left_s - 1, heat_age_s=age_s)


def _stepped_down(node: Node, times: Times) -> Node:
    """The node a second later without an agent or a lease: at the deadline to min(current, safe)."""
    assert node.bound is not None
    age_s = min(node.heat_age_s + 1, times.lease_s + 1)
    watts = min(node.gpu.requested_watts, node.bound.safe_watts)
    waits = node.lease_left_s > 0 or not (node.agent or node.guard)
    if waits or watts == node.gpu.requested_watts:
        return changed(node, lease_left_s=max(0, node.lease_left_s - 1), heat_age_s=age_s)
    proof, gpu = proofs.wrote(node.proof, node.gpu, watts)
    return changed(node, proof=proof, gpu=gpu, heat_age_s=age_s)


def _wanted_watts(node: Node, rule: Rule, times: Times) -> int:
    """What to write now: the order, or what proves the GPU."""
    proof, gpu, lease = node.proof, node.gpu, node.lease
    assert lease is not None
    if proof.failing:
        return _probe_watts(proof, gpu, safe_watts=min(lease.safe_watts, lease.order_watts))
    watts = lease.order_watts
    if proof.lower_left_s:
        return min(watts, proof.known_watts)
    if proof.proven or (watts < proof.known_watts and lease.held):
        return watts
    if proof.pending:
        return proof.known_watts
    _, driver = proof.instance
    if proof.void and driver and not rule.unable_are_held_at_safe:
        return watts  # as first written: only the first lease takes the arming step
    return _arming_watts(node, rule)


def _probe_watts(proof: Proof, gpu: Gpu, *, safe_watts: int) -> int:
    if proof.probe_in_s or proof.pending:
        return proof.known_watts
    if proof.known_watts != safe_watts:
        return safe_watts if not proof.lower_left_s else min(safe_watts, proof.known_watts)
    below = safe_watts - gpu.step_watts
    return below if below >= gpu.lowest_watts else safe_watts + gpu.step_watts


def _arming_watts(node: Node, rule: Rule) -> int:
    """One step down from what is there; at the lowest limit one step up, unless the row is held."""
    gpu, lease = node.gpu, node.lease
    assert lease is not None
    known = node.proof.known_watts
    if known - gpu.step_watts >= gpu.lowest_watts:
        return known - gpu.step_watts
    up = min(gpu.highest_watts, known + gpu.step_watts)
    return known if lease.held else up


def _released(node: Node) -> Node:
    """Back to the limit found before; after three tries that fail the node is disarmed all the same."""
    if node.bound is None:
        return changed(node, record=None, lease=None)
    proof, gpu = proofs.wrote(node.proof, node.gpu, node.gpu.highest_watts)
    if proof.known_watts != gpu.highest_watts and node.tries < 2:
        return changed(node, proof=proof, tries=node.tries + 1)
    return changed(node, proof=proof, gpu=gpu, record=None, lease=None, lease_left_s=0, tries=0)
