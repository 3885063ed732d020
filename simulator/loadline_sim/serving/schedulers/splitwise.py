"""
Batches as splitwise-sim makes them (Patel et al., ISCA 2024; Mutinifni/splitwise-sim 8f99e7d, MIT).

Our engine is judged by that peer first, so this scheduler does what that simulator does, and not what an
engine would: a prompt is computed whole and goes before answers, which it preempts up to four times; answers
run on until one ends or somebody arrives; memory is taken whole. Times and order are the peer's.

The prompt of request r is task 2r, its answer without the first token is task 2r + 1.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from loadline_sim.arrays import Ints
from loadline_sim.compiled import compiled
from loadline_sim.serving import events, handlers, rows, simulations, transfers
from loadline_sim.serving.handlers import handles
from loadline_sim.serving.records import Records, record
from loadline_sim.serving.rows import Rows
from loadline_sim.serving.servers import Fleet, check_priced
from loadline_sim.serving.simulations import Simulation

WAITING, RUNNING, PREEMPTED = range(3)
QUEUE, PROMPTS, STOPPED, BATCH, POOL = range(5)
"""Lists of a server: tasks that wait, prompts and preempted ones among them, those that run; requests."""

MIXED_SLOWDOWN: Final = 1.1  # of a step with prompts and answers, over one of prompts alone

TASK: Final = record(
    ("tokens", "need_bytes", "state", "rank", "in_batch", "is_drafted"), floats=("left", "arrival_s")
)
"""`tokens` of a step, steps `left`; `rank` counts how often it waited; `is_drafted` for the next batch."""


class Splitwise(NamedTuple):
    """`now` is a request's task that is next on its server; `batches` are tokens and prompts, by server."""

    max_batch_size: int
    max_batch_tokens: int
    max_preemptions: int
    tasks: Records
    now: Ints
    lists: Rows
    batches: Ints
    draft: Ints

    def with_room(self, room: int) -> "Splitwise":
        """The same, with room for so many items in each list."""
        return self._replace(lists=rows.with_room(self.lists, room), draft=np.zeros(room, np.int64))


def splitwise(
    requests: Records,
    fleet: Fleet,
    room: int,
    *,
    max_batch_size: int = 512,
    max_batch_tokens: int = 2048,
    max_preemptions: int = 4,
) -> Splitwise:
    """The scheduler before the first request. The defaults are the peer's."""
    check_priced(fleet, most_tokens=max_batch_tokens)
    tasks, answer = np.zeros((requests.size, 2), TASK), requests["output_tokens"] - 1
    tasks["tokens"] = tasks["left"] = 1
    tasks["tokens"][:, 0], tasks["left"][:, 1] = requests["prompt_tokens"], answer
    tasks["need_bytes"][:, 0], tasks["need_bytes"][:, 1] = requests["prompt_tokens"] + 1, answer
    tasks["need_bytes"] *= fleet.token_bytes
    tasks["arrival_s"] = requests["arrival_s"][:, np.newaxis]
    limits, now = (max_batch_size, max_batch_tokens, max_preemptions), np.arange(0, tasks.size, 2)
    lists, batches = rows.empty(5, fleet.servers.size, room), np.zeros((fleet.servers.size, 2), np.int64)
    return Splitwise(*limits, tasks.ravel(), now, lists, batches, np.zeros(room, np.int64))


@handles(handlers.arrive, Splitwise)
def arrive(state: Splitwise, simulation: Simulation, index: int) -> None:
    """Queue the prompt; the answer too, if it stays on the same server."""
    request = simulation.requests[index]
    _queue(state, simulation, request.prompt_server, 2 * index)
    if request.prompt_server == request.token_server:
        _queue(state, simulation, request.token_server, 2 * index + 1)


@handles(handlers.receive, Splitwise)
def receive(state: Splitwise, simulation: Simulation, index: int) -> None:
    """Queue the answer; the server of the prompt may have room now for its next one."""
    request, lists = simulation.requests[index], state.lists
    _queue(state, simulation, request.token_server, 2 * index + 1)
    source = request.prompt_server
    first, size = state.tasks[lists.items[QUEUE, source, 0]], lists.sizes[BATCH, source]
    if lists.sizes[QUEUE, source] == 0:
        return
    if size == 0 and simulations.has_room(simulation, source, first.need_bytes):
        end_step(state, simulation, source)
    elif 0 < size < state.max_batch_size and state.batches[source, 0] < state.max_batch_tokens:
        _cut(state, simulation, source)


@handles(handlers.end_step, Splitwise)
def end_step(state: Splitwise, simulation: Simulation, index: int) -> None:
    """Let go of those that are done, and begin the next steps; those that take no time end at once."""
    while True:
        _finish(state, simulation, index)
        _change_batch(state, index, _choose(state, simulation, index))
        simulation.fleet.servers[index].waiting = state.lists.sizes[QUEUE, index]
        if state.lists.sizes[BATCH, index] == 0:
            if state.lists.sizes[POOL, index] == 0:
                handlers.be_idle(simulation.router, simulation, index)
            return
        if _run(state, simulation, index) > 0.0:
            return


@handles(handlers.is_full, Splitwise)
def is_full(state: Splitwise, simulation: Simulation, index: int) -> bool:
    """A server's tasks wait or run, and every other list holds some of them."""
    return bool(rows.most(state.lists, QUEUE, BATCH) + 2 >= state.draft.size)


@compiled
def _queue(state: Splitwise, simulation: Simulation, server: int, index: int) -> None:  # noqa: PLR0917
    """A task comes to its server, which starts it now, or in its next step, or when there is room."""
    task, lists, request = state.tasks[index], state.lists, index // 2
    if state.now[request] == index:
        rows.insert_by_arrival(lists, POOL, server, request, simulation.requests)
    rows.insert_by_rank(lists, QUEUE, server, index, state.tasks)
    simulation.fleet.servers[server].waiting = lists.sizes[QUEUE, server]
    if index % 2 == 0:
        rows.append(lists, PROMPTS, server, index)
    size, tokens = lists.sizes[BATCH, server], state.batches[server, 0] + task.tokens
    fits, most = size < state.max_batch_size, state.max_batch_tokens
    if size == 0 and simulations.has_room(simulation, server, task.need_bytes):
        end_step(state, simulation, server)
    elif size > 0 and ((fits and tokens <= most) or (index % 2 == 0 and tokens - size <= most)):
        _cut(state, simulation, server)


@compiled
def _cut(state: Splitwise, simulation: Simulation, server: int) -> None:
    """Let a run of steps end with the one that is under way; with prompts it is one anyway."""
    if state.batches[server, 1] == 0:
        events.cut_steps(simulation.events, server, simulation.now_s[0])


@compiled
def _choose(state: Splitwise, simulation: Simulation, server: int) -> int:
    """Draft a batch of who waited too often, prompts, preempted answers, the old batch, others; its size."""
    mine = simulation.fleet.servers[server]
    used, tokens, count = mine.used_bytes, 0, 0
    for source in range(5):
        for place in range(state.lists.sizes[source, server]):
            index = state.lists.items[source, server, place]
            if source == POOL:
                index = state.now[index]
            task, other = state.tasks[index], state.tasks[index ^ 1]
            is_drafted = task.is_drafted or other.is_drafted
            seldom = task.rank < state.max_preemptions
            if count == state.max_batch_size or (source == QUEUE and seldom):
                break
            if source == POOL and is_drafted:
                continue
            if count > 0 and tokens + task.tokens > state.max_batch_tokens:
                break
            if is_drafted:
                continue
            if task.state == WAITING:
                if used + task.need_bytes > mine.memory_bytes:
                    if source == QUEUE:
                        continue
                    break
                used += task.need_bytes
            task.is_drafted = 1
            tokens += task.tokens
            state.draft[count] = index
            count += 1
    state.batches[server, 0] = tokens
    return count


@compiled
def _change_batch(state: Splitwise, server: int, count: int) -> None:
    """Preempt what isn't in the draft, and take in what is new in it; what waits counts it."""
    lists, place = state.lists, 0
    while place < lists.sizes[BATCH, server]:
        index = lists.items[BATCH, server, place]
        task = state.tasks[index]
        if task.is_drafted:
            place += 1
            continue
        task.state, task.in_batch = PREEMPTED, 0
        rows.remove(lists, BATCH, server, index)
        rows.insert_by_rank(lists, QUEUE, server, index, state.tasks)
        rows.append(lists, STOPPED, server, index)
    for index in state.draft[:count]:
        task = state.tasks[index]
        task.is_drafted = 0
        if not task.in_batch:
            task.in_batch = 1
            rows.remove(lists, QUEUE, server, index)
            rows.remove(lists, STOPPED, server, index)
            state.batches[server, 1] += rows.remove(lists, PROMPTS, server, index)
            rows.append(lists, BATCH, server, index)
    for request in lists.items[POOL, server, : lists.sizes[POOL, server]]:
        task = state.tasks[state.now[request]]
        task.rank += 1 - task.in_batch


@compiled
def _run(state: Splitwise, simulation: Simulation, server: int) -> float:
    """Let the batch run: one step with prompts, else until an answer ends. How many steps that are."""
    steps, size, fleet = np.inf, state.lists.sizes[BATCH, server], simulation.fleet
    for index in state.lists.items[BATCH, server, :size]:
        task = state.tasks[index]
        steps = min(steps, task.left)
        if task.state == WAITING:
            simulations.take(simulation, server, index // 2, task.need_bytes)
        task.state = RUNNING
    tokens, prompts = state.batches[server]
    times: Any = fleet.prompt_s if prompts > 0 else fleet.token_s
    step_s = times[fleet.servers[server].kind, tokens] * (MIXED_SLOWDOWN if 0 < prompts < size else 1.0)
    steps = 1.0 if prompts > 0 else steps
    events.begin_steps(simulation.events, server, simulation.now_s[0], step_s, 0.0, steps)
    return steps


@compiled
def _finish(state: Splitwise, simulation: Simulation, server: int) -> None:
    """Count the steps. A prompt that is done is sent on; an answer frees its memory."""
    lists, place, steps = state.lists, 0, simulation.events.steps[server].steps
    while place < lists.sizes[BATCH, server]:
        index = lists.items[BATCH, server, place]
        task, request = state.tasks[index], simulation.requests[index // 2]
        task.left -= steps
        if task.left > 0.0:
            place += 1
            continue
        task.in_batch = 0
        rows.remove(lists, BATCH, server, index)
        if index % 2 == 1:
            rows.remove(lists, POOL, server, index // 2)
            simulations.end_answer(simulation, server, index // 2)
            continue
        state.now[index // 2] = index + 1
        state.batches[server, 1] -= 1
        simulations.end_prompt(simulation, server, index // 2)
        if request.token_server != server:
            rows.remove(lists, POOL, server, index // 2)
            transfers.send(simulation, index // 2)
