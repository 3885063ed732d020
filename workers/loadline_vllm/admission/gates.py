"""
What the policy answers for one scheduler: which waiting requests may start, step by step.

In mode observe a request that would be refused starts all the same. It isn't known what a scheduler would do
that had refused it, so the policy is not asked again in that step, and the refusal counts once.

Nothing here knows vLLM. What requests hold memory is asked for only if a request waits.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from loadline_policies.kv.admissions import Admission, Member, Members, Pool
from loadline_policies.kv.estimators import Estimator, LearningEstimators
from loadline_policies.kv.peaks import BlockGroup
from loadline_policies.kv.predicted_memory import AdmissionMode, Config

SEED: Final = 1876
"""Of the draws from the history; any will do, but a replay has to give the same."""


class Gate:
    """The policy's answers for one scheduler, and how often it refused."""

    def __init__(self, *, blocks: int, groups: tuple[BlockGroup, ...], may_enforce: bool) -> None:
        self._pool = Pool(blocks=blocks, groups=groups, reserve_percent=0)
        self._may_enforce = may_enforce
        self._rng = np.random.default_rng(SEED)
        self.estimators = LearningEstimators(Config())
        self.refusals = 0
        self.peak_blocks: int | None = None
        self.hold(Config())

    @property
    def mode(self) -> AdmissionMode:
        """What is in force."""
        return self.settings.admission if self._may_enforce else AdmissionMode.OBSERVE

    @property
    def enforces(self) -> bool:
        return self.mode is AdmissionMode.ENFORCE

    @property
    def estimator(self) -> Estimator:
        """The estimator that is asked."""
        return self._admission.estimator

    def hold(self, settings: Config) -> None:
        """Go by these settings from the next step on; the lengths that are known are kept."""
        self.settings = settings
        self.estimators.retune(settings)
        self.ask_estimator(self.estimators[settings.estimator])

    def ask_estimator(self, estimator: Estimator) -> None:
        """Ask this estimator until settings change; tests and benchmarks have one that no document names."""
        pool = Pool(
            blocks=self._pool.blocks,
            groups=self._pool.groups,
            reserve_percent=self.settings.reserve_percent,
        )
        self._admission = Admission(pool, estimator, rng=self._rng)
        self.begin_step()

    def begin_step(self) -> None:
        """A step of the scheduler begins."""
        self._has_begun = self._has_refused = False

    def admits(
        self, candidate: Member, *, new_shared_blocks: int, batch: Callable[[], Members], runs: bool
    ) -> bool:
        """Whether the scheduler may try to start the next waiting request.

        `batch` gives the requests that hold memory now, `runs` is whether one of them is running. If none
        is, the request may start, since nothing else would free memory for it.
        """
        if self._has_refused:
            return not self.enforces
        if not self._has_begun:
            self._admission.begin(batch())
            self._has_begun = True
        verdict = self._admission.ask(candidate, new_shared_blocks=new_shared_blocks, must_start=not runs)
        self.peak_blocks = verdict.peak_blocks
        if verdict.fits:
            return True
        self._has_refused = True
        self.refusals += 1
        return not self.enforces
