"""
Admission in one of vLLM's schedulers: what its requests and blocks are to the policy, and what is counted.

A member of the batch is each request that holds blocks: those that run, those whose KV is being loaded, and
sessions that wait for more input. Its tokens are those that it has, whether computed or not, with as many as
vLLM looks ahead for drafts. What finished requests hold until a connector has sent it isn't counted.

A request's length is learnt if it ended by itself. Of a session that takes more input nothing is learnt: its
turns aren't requests.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from loadline_api.kv_counts import AdmissionCounts
from loadline_policies.kv.admissions import UNBOUNDED, Member, Members
from loadline_policies.kv.peaks import Ints
from loadline_policies.kv.predicted_memory import Config
from loadline_policies.kv.victims import VictimRule
from loadline_vllm import block_pools
from loadline_vllm.admission import deadlines, memory_layouts, victim_orders
from loadline_vllm.admission.gates import Gate
from loadline_vllm.admission.labels import PRIORITY, RESET, RULES
from loadline_vllm.admission.shared_blocks import SharedBlocks

ENDED_BY_ITSELF: Final = ("FINISHED_STOPPED", "FINISHED_LENGTH_CAPPED", "FINISHED_REPETITION")
"""vLLM's statuses of requests whose length is the service's."""


LOADING: Final = "WAITING_FOR_REMOTE_KVS"
"""vLLM's status of a request that will run as soon as its KV is there."""


class Hits(NamedTuple):
    """The blocks that a request found in the prefix cache, and the tokens in them."""

    block_ids: tuple[int, ...]
    tokens: int


class SchedulerAdmission:
    """Admission in one scheduler; its methods are called at vLLM's hooks, and may raise."""

    def __init__(self, scheduler: Any, *, may_enforce: bool) -> None:
        self._scheduler = scheduler
        self.gate = Gate(
            blocks=block_pools.pool_blocks(scheduler),
            groups=memory_layouts.groups_of(scheduler),
            may_enforce=may_enforce,
        )
        self.shared = SharedBlocks()
        self.preemptions = dict.fromkeys(RULES, 0)
        self.preempted_tokens = 0
        self.ignored_deadlines = 0
        self._ahead_tokens = scheduler.num_lookahead_tokens + scheduler.num_spec_tokens
        self._holding: list[Any] = []
        self._hits = Hits((), 0)
        self._before: list[Any] | None = None
        self._is_resetting = self._has_started = self._is_loading = False

    def hold(self, settings: Config) -> None:
        """Go by these settings from the next step on."""
        self.gate.hold(settings)

    def arrived(self, request: Any) -> None:
        """vLLM has queued a new request."""
        self.gate.estimators.arrived(request.request_id, request.prompt_token_ids or ())
        if request.sampling_params is not None:
            self.ignored_deadlines += deadlines.read(request.sampling_params.extra_args).is_ignored

    def ended(self, request: Any) -> None:
        """vLLM has finished a request, for whatever reason."""
        by_itself = request.status.name in ENDED_BY_ITSELF and not request.resumable
        length = request.num_output_tokens if by_itself else None
        self.gate.estimators.finished(request.request_id, length)

    def freed(self, request: Any) -> None:
        """vLLM frees a request's blocks."""
        self.shared.release(request.request_id)

    def begin_step(self) -> None:
        """vLLM begins to schedule. What waits with blocks it takes from its queue while it schedules."""
        self.gate.begin_step()
        self._holding = [*filter(self._scheduler._holds_kv_blocks, self._scheduler.kv_holding_waiting)]
        self._has_started = False
        self._is_loading = any(one.status.name == LOADING for one in self._holding)
        if self.gate.enforces and not self._is_by_priority() and victim_orders.may_preempt(self._scheduler):
            self._before = [*self._scheduler.running]
            victim_orders.put_in_order(self._scheduler.running, self.gate.settings.victim)

    def end_step(self) -> None:
        """vLLM has scheduled, or a step was ended by a failure of the plugin's."""
        if self._before is not None:
            victim_orders.put_back(self._scheduler.running, self._before)
            self._before = None

    def admits(self, request: Any, named: Mapping[str, Any]) -> bool:
        """Whether vLLM may allocate blocks for a request that has none; `named` are the call's arguments."""
        self._hits = self._found(named)
        return self.gate.admits(
            self._member(request, shared_tokens=self._hits.tokens),
            new_shared_blocks=self.shared.new_among(self._hits.block_ids),
            batch=self._batch,
            runs=bool(self._scheduler.running) or self._has_started or self._is_loading,
        )

    def started(self, request: Any) -> None:
        """vLLM has allocated blocks for the request that was asked for last; it may still load its KV."""
        self._has_started = True
        self.shared.hold(request.request_id, self._hits.block_ids, tokens=self._hits.tokens)

    def begin_reset(self) -> None:
        """vLLM resets its prefix cache, for which it may preempt."""
        self._is_resetting = True

    def end_reset(self) -> None:
        self._is_resetting = False

    def preempted(self, computed_tokens: int) -> None:
        """vLLM preempts a request that has computed so many tokens."""
        rule = self._rule()
        self.preemptions[rule] += 1
        if rule != RESET:
            self.preempted_tokens += computed_tokens

    def counts(self, *, failed: bool) -> AdmissionCounts:
        """What is known and was counted; after a failure, until then."""
        observing = Config()
        return AdmissionCounts(
            mode=observing.admission if failed else self.gate.mode,
            estimator=self.gate.settings.estimator,
            is_warm=self.gate.estimator.is_warm,
            known_requests=self.gate.estimators.known,
            pool_blocks=block_pools.pool_blocks(self._scheduler),
            used_blocks=block_pools.used_blocks(self._scheduler),
            predicted_peak_blocks=self.gate.peak_blocks if self._scheduler.running else None,
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting) + len(self._scheduler.kv_holding_waiting),
            refusals=self.gate.refusals,
            preemptions=sum(number for rule, number in self.preemptions.items() if rule != RESET),
            preempted_tokens=self.preempted_tokens,
            mispredicted=self.gate.estimators.mispredicted,
            errors=int(failed),
        )

    def _batch(self) -> Members:
        """The requests that hold blocks now. Of those that waited with blocks, some may run by now."""
        running = self._scheduler.running
        started = {id(request) for request in running} if self._holding else set()
        members = [*running, *(request for request in self._holding if id(request) not in started)]
        names = [request.request_id for request in members]
        produced = _column([request.num_output_tokens for request in members])
        room = self._scheduler.max_model_len - _column([request.num_prompt_tokens for request in members])
        return Members(
            ids=names,
            held_tokens=_column([request.num_tokens for request in members]) + self._ahead_tokens,
            produced_tokens=produced,
            most_tokens=np.minimum(_column([request.max_tokens for request in members]), room),
            shared_tokens=_column([self.shared.tokens(name) for name in names])
            if self.shared.requests
            else np.zeros_like(produced),
            bound_tokens=self._bounds(members),
            shared_blocks=len(self.shared),
        )

    def _member(self, request: Any, *, shared_tokens: int) -> Member:
        return Member(
            request_id=request.request_id,
            held_tokens=request.num_tokens + self._ahead_tokens,
            produced_tokens=request.num_output_tokens,
            most_tokens=min(request.max_tokens, self._scheduler.max_model_len - request.num_prompt_tokens),
            shared_tokens=shared_tokens,
            bound_tokens=self._bound(request),
        )

    def _bounds(self, members: list[Any]) -> Ints | None:
        """What retention lets each request hold at most; None where it bounds none."""
        if self._bounded is None or not self._bounded.requests:
            return None
        return _column([self._bound(request) for request in members])

    def _bound(self, request: Any) -> int:
        found = self._bounded.bound_tokens(request) if self._bounded is not None else None
        return found if found is not None else UNBOUNDED

    @property
    def _bounded(self) -> Any:
        """The budgets that retention has given to this scheduler's requests; None without retention."""
        return getattr(self._scheduler, "budgets", None)

    def _found(self, named: Mapping[str, Any]) -> Hits:
        blocks = named.get("new_computed_blocks")
        if blocks is None:
            return Hits((), 0)
        ids = tuple(one.block_id for group in blocks.blocks for one in group if not one.is_null)
        size = self._scheduler.block_size
        return Hits(ids, named.get("num_new_computed_tokens", 0) // size * size if ids else 0)

    def _rule(self) -> str:
        if self._is_resetting:
            return RESET
        if self._is_by_priority():
            return PRIORITY
        return (self.gate.settings.victim if self._before is not None else VictimRule.NEWEST).value

    def _is_by_priority(self) -> bool:
        return bool(self._scheduler.policy.value == PRIORITY)


def _column(numbers: list[int]) -> Ints:
    return np.fromiter(numbers, np.int64, len(numbers))
