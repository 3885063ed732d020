"""
What a node knows of its GPU's limit: what it wrote, what it read back, who else wrote, and since when it can.

A write is proof only if it *changed* the requested limit and was read back; a write that fails, or
a read that does, ends the proof until three writes have succeeded. A limit that differs from the
last known one is a foreign write: a lower one stays, a higher one is overwritten, and too many
make the GPU unable.
"""

from dataclasses import dataclass

from testbed.protocol_model.hardware import Gpu
from testbed.protocol_model.rules import MANY_FOREIGN_WRITES, PROOF_WRITES, Times
from testbed.protocol_model.values import changed


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One GPU as its agent knows it; kept in the record, so a restart of the agent forgets nothing.

    `known_watts` is the last known requested limit. `pending` says that a write which changed it
    waits to be read back, `good_writes` counts the successes since the last failure, and
    `void` says that the driver has forgotten the limit, so that it holds its maximum until then.
    """

    known_watts: int
    read_watts: int
    read_age_s: int = 0
    instance: tuple[int, int] = (0, 0)
    proven: bool = False
    pending: bool = False
    good_writes: int = PROOF_WRITES
    probe_in_s: int = 0
    void: bool = False
    lower_left_s: int = 0
    foreign_ages_s: tuple[int, ...] = ()
    foreign_watts: int = 0
    stranger_left_s: int = 0

    @property
    def failing(self) -> bool:
        """Whether a write or a read failed, and three good writes haven't shown that it is over."""
        return self.good_writes < PROOF_WRITES

    @property
    def at_fault(self) -> bool:
        """Whether the GPU is unable by a failure or a stranger, not only unproven."""
        return self.failing or self.stranger_left_s > 0

    @property
    def able(self) -> bool:
        """Conditions 3 and 4 of the rule: a changing write was read back, none failed since, no stranger."""
        return self.proven and not self.void and not self.at_fault

    def holds_watts(self, gpu: Gpu, times: Times) -> int:
        """The most that the GPU may draw now, as far as its node can read."""
        if self.void or self.read_age_s > times.silent_after_s:
            return gpu.highest_watts
        return max(self.read_watts, self.foreign_watts) if self.stranger_left_s else self.read_watts

    def failed(self) -> "Proof":
        """After a write or a read that failed."""
        return changed(self, good_writes=0, pending=False)


def looked(proof: Proof, gpu: Gpu, *, safe_watts: int | None, times: Times) -> Proof:
    """The proof after one look at the GPU."""
    proof = _aged(proof)
    if not gpu.readable:
        return changed(proof.failed(), read_age_s=proof.read_age_s + 1)
    proof = changed(proof, read_watts=gpu.requested_watts, read_age_s=0)
    if gpu.instance != proof.instance:
        return _forgotten(proof, gpu)
    if gpu.requested_watts != proof.known_watts:
        return _foreign(proof, gpu.requested_watts, safe_watts=safe_watts, times=times)
    if proof.pending:
        good = min(PROOF_WRITES, proof.good_writes + 1)
        return changed(proof, proven=True, pending=False, void=False, good_writes=good)
    return proof


def wrote(proof: Proof, gpu: Gpu, watts: int) -> tuple[Proof, Gpu]:
    """Proof and GPU after a write of another limit; writing the present one is no write."""
    if watts == proof.known_watts:
        return proof, gpu
    if not gpu.settable:
        return proof.failed(), gpu
    pending = watts != gpu.requested_watts or proof.pending
    return changed(proof, known_watts=watts, pending=pending), gpu.written(watts)


def _aged(proof: Proof) -> Proof:
    if not proof.foreign_ages_s and not (proof.probe_in_s or proof.lower_left_s or proof.stranger_left_s):
        return proof
    return changed(
        proof,
        foreign_ages_s=tuple(age_s + 1 for age_s in proof.foreign_ages_s),
        probe_in_s=max(0, proof.probe_in_s - 1),
        lower_left_s=max(0, proof.lower_left_s - 1),
        stranger_left_s=max(0, proof.stranger_left_s - 1),
    )


def _forgotten(proof: Proof, gpu: Gpu) -> Proof:
    return changed(
        proof, instance=gpu.instance, known_watts=gpu.requested_watts, proven=False, pending=False, void=True
    )


def _foreign(proof: Proof, watts: int, *, safe_watts: int | None, times: Times) -> Proof:
    lower = watts < proof.known_watts
    proof = changed(proof, known_watts=watts, pending=False)
    if lower:
        return changed(proof, lower_left_s=times.foreign_kept_s)
    ages_s = tuple(age_s for age_s in proof.foreign_ages_s if age_s < times.foreign_window_s)
    if safe_watts is None or watts <= safe_watts:
        return changed(proof, foreign_ages_s=ages_s, lower_left_s=0)
    proof = changed(proof, foreign_ages_s=(*ages_s, 0), lower_left_s=0)
    proof = changed(proof, foreign_watts=max(proof.foreign_watts if proof.foreign_ages_s[:-1] else 0, watts))
    many = len(proof.foreign_ages_s) > MANY_FOREIGN_WRITES
    return changed(proof, stranger_left_s=times.foreign_kept_s) if many or proof.stranger_left_s else proof
