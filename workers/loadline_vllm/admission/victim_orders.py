"""
The order of running requests in a step in which vLLM may have to preempt.

With first-come-first-served scheduling vLLM preempts the last request of its list `running`. So before such
a step the list is put in the order of the policy's rule, and after it back into the order of arrival. In all
other steps the list is vLLM's own.

What else the order decides within a step: who gets tokens of the step first, if they don't suffice for all.
Requests that decode need one each, so it is the prefill of the last ones that gets fewer. vLLM 0.32 takes
the order for nothing else: the runner finds requests by their id, and tokens in flight belong to requests.
"""

from collections.abc import Sequence
from typing import Any

from loadline_policies.kv.victims import RunningRequest, VictimRule, kept_first
from loadline_vllm.admission import deadlines


def may_preempt(scheduler: Any) -> bool:
    """Whether the running requests may need more blocks in the next step than are free."""
    managers = scheduler.kv_cache_manager.coordinator.single_type_managers
    sizes = [manager.block_size for manager in managers]
    free = scheduler.kv_cache_manager.block_pool.get_num_free_blocks()
    lookahead, budget = scheduler.num_lookahead_tokens, scheduler.max_num_scheduled_tokens
    requests = len(scheduler.running)
    if free >= sum(requests + (budget + requests * lookahead) // size for size in sizes):
        return False
    needed = 0
    for request in scheduler.running:
        computed = request.num_computed_tokens
        wanted = request.num_tokens_with_spec + request.num_output_placeholders - computed
        end = computed + max(0, min(wanted, budget)) + lookahead
        needed += sum(_blocks(end, size) - _blocks(computed, size) for size in sizes)
    return bool(needed > free)


def put_in_order(running: list[Any], rule: VictimRule) -> None:
    """Put requests in the order of a rule, those that should keep their memory first."""
    facts = [
        RunningRequest(
            computed_tokens=request.num_computed_tokens,
            preemptions=request.num_preemptions,
            deadline_s=request.arrival_time + deadlines.read(request.sampling_params.extra_args).after_s,
        )
        for request in running
    ]
    running[:] = [running[place] for place in kept_first(facts, rule)]


def put_back(running: list[Any], before: Sequence[Any]) -> None:
    """Put what is left of `before` into its order again; requests that started since come after."""
    places = {id(request): place for place, request in enumerate(before)}
    running.sort(key=lambda request: places.get(id(request), len(places)))


def _blocks(tokens: int, size: int) -> int:
    return -(-tokens // size)
