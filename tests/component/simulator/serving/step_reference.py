"""
Continuous batching in plain Python, one step and one token at a time, for the compiled scheduler to equal.

It is written from what `schedulers/continuous` says and shares no line with it: lists and dataclasses, no
runs of steps, no accounts. It is one server.
"""

import math
from dataclasses import dataclass, field

from loadline_sim.traffic.traces import Trace


@dataclass(slots=True)
class Sequence:
    """A request: what it asks, what it has, and when."""

    arrival_s: float
    prompt: int
    output: int
    computed: int = 0
    made: int = 0
    blocks: int = 0
    step: int = 0
    first_s: float = math.nan
    last_s: float = math.nan
    priority: int = 0
    number: int = 0
    ids: tuple[int, ...] = ()
    shared: list[int] = field(default_factory=list)
    hits: int | None = None

    def rank(self) -> tuple[int, int]:
        return self.priority, self.number

    @property
    def left(self) -> int:
        return self.prompt + self.made - self.computed


@dataclass(slots=True, kw_only=True)
class Engine:
    """One server, with `blocks` free ones; `prefill_s` and `decode_s` are seconds of a step by its tokens.

    The others are seconds beyond: of a request that decodes beside prompts, of a token that one holds, and
    of a pair of a prompt's token and one at or before it. With `kept_tokens` blocks of so many tokens are
    kept by their ids: `users` counts who uses them, `unused` are the others, the least recently used first.
    """

    blocks: int
    block_tokens: int
    most_sequences: int
    most_tokens: int
    prefill_s: list[float]
    decode_s: list[float]
    beside_prompts_s: float = 0.0
    context_s: float = 0.0
    pair_s: float = 0.0
    waiting: list[Sequence] = field(default_factory=list)
    running: list[Sequence] = field(default_factory=list)
    preemptions: int = 0
    by_priority: bool = False
    kept_tokens: int = 0
    users: dict[int, int] = field(default_factory=dict)
    unused: dict[int, None] = field(default_factory=dict)

    @property
    def kept_blocks(self) -> int:
        """Blocks of memory of one that is kept."""
        return self.kept_tokens // self.block_tokens

    def serve(self, sequences: list[Sequence]) -> None:
        """All of them, one step after the other."""
        coming, now_s = list(sequences), 0.0
        while coming or self.waiting or self.running:
            if not self.waiting and not self.running and coming[0].arrival_s >= now_s:
                now_s = coming[0].arrival_s
                self.wait(coming.pop(0))  # an idle engine waits for nobody else
            else:
                while coming and coming[0].arrival_s <= now_s:
                    self.wait(coming.pop(0))
            now_s += self.step()
            self.take(now_s)

    def wait(self, one: Sequence) -> None:
        """Behind all others, or before those of a lower priority."""
        self.waiting.append(one)
        if self.by_priority:
            self.waiting.sort(key=Sequence.rank)

    def step(self) -> float:
        """Fill a step; its seconds."""
        budget, before, place = self.most_tokens, self.preemptions, 0
        for one in self.running:
            one.step = 0
        while place < len(self.running):
            one = self.running[place]
            tokens = min(one.left, budget)
            while one in self.running and not self.grow(one, tokens):
                victim = max(self.running, key=Sequence.rank) if self.by_priority else self.running[-1]
                budget, place = budget + victim.step, place - (self.running.index(victim) < place)
                self.preempt(victim)
            if one not in self.running:
                break
            one.step, budget, place = tokens, budget - tokens, place + 1
        if self.running and not any(one.step for one in self.running):
            return 0.0
        if self.preemptions == before or not self.running:
            while self.waiting and budget > 0 and len(self.running) < self.most_sequences:
                self.find(self.waiting[0])
                tokens = min(self.waiting[0].left, budget)
                if not self.grow(self.waiting[0], tokens):
                    self.release(self.waiting[0])
                    self.waiting[0].computed = self.waiting[0].blocks = 0
                    break
                if self.waiting[0].hits is None:
                    self.waiting[0].hits = len(self.waiting[0].shared)
                self.running.append(self.waiting.pop(0))
                self.running[-1].step, budget = tokens, budget - tokens
        total = sum(one.step for one in self.running)
        prompts = [one for one in self.running if one.step and (one.made == 0 or one.left > 1)]
        answers = [one for one in self.running if one.step and one not in prompts]
        seconds = (self.prefill_s if prompts else self.decode_s)[total]
        seconds += self.context_s * sum(one.computed + 1 for one in answers)
        seconds += self.pair_s * sum(one.step * one.computed + one.step**2 / 2 for one in prompts)
        return seconds + (self.beside_prompts_s * len(answers) if prompts else 0.0)

    def take(self, now_s: float) -> None:
        """The tokens of a step."""
        for one in list(self.running):
            makes = one.step == one.left
            one.computed += one.step
            if one.step > 1 or one.made == 0:
                self.keep(one)
            if not makes:
                continue
            one.made += 1
            if one.made == 1:
                one.first_s = now_s
            if one.made == one.output:
                one.last_s = now_s
                self.running.remove(one)
                self.free(one)

    def grow(self, one: Sequence, tokens: int) -> bool:
        """Blocks for so many tokens more."""
        needed = math.ceil((one.computed + tokens) / self.block_tokens) - one.blocks
        if needed > self.blocks:
            return False
        self.blocks -= max(0, needed)
        one.blocks += max(0, needed)
        while len(self.unused) * self.kept_blocks > self.blocks:
            self.unused.pop(next(iter(self.unused)))
        return True

    def find(self, one: Sequence) -> None:
        """Use the blocks that are kept of a prompt's beginning, but for its last token."""
        for block in one.ids[: (one.left - 1) // self.kept_tokens if self.kept_tokens else 0]:
            if block not in self.users and block not in self.unused:
                break
            if block in self.unused:
                del self.unused[block]
                self.blocks -= self.kept_blocks
            self.users[block] = self.users.get(block, 0) + 1
            one.shared.append(block)
        one.computed = len(one.shared) * self.kept_tokens
        one.blocks = len(one.shared) * self.kept_blocks

    def keep(self, one: Sequence) -> None:
        """Keep the whole blocks of a prompt as they are computed; of one that is kept the copy is freed."""
        whole = min(one.computed, one.prompt) // self.kept_tokens if self.kept_tokens else 0
        for block in one.ids[len(one.shared) : whole]:
            if block in self.users:
                self.blocks += self.kept_blocks
            self.unused.pop(block, None)
            self.users[block] = self.users.get(block, 0) + 1
            one.shared.append(block)

    def free(self, one: Sequence) -> None:
        """Free what a sequence has for itself, and then what it shares."""
        self.blocks += one.blocks - len(one.shared) * self.kept_blocks
        self.release(one)

    def release(self, one: Sequence) -> None:
        """Let a sequence share nothing, its last block first; what nobody uses is kept while there is
        room.
        """
        while one.shared:
            block = one.shared.pop()
            self.users[block] -= 1
            if not self.users[block]:
                del self.users[block]
                self.unused[block] = None
                self.blocks += self.kept_blocks

    def preempt(self, one: Sequence) -> None:
        """Free its memory; it waits before all others."""
        self.free(one)
        one.computed = one.blocks = one.step = 0
        self.running.remove(one)
        self.waiting.insert(0, one)
        if self.by_priority:
            self.waiting.sort(key=Sequence.rank)
        self.preemptions += 1


def sequences_of(trace: Trace) -> list[Sequence]:
    """The requests of a trace, with the blocks of their prompts if they are known."""
    rows = zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True)
    found = [Sequence(float(arrival_s), int(prompt), int(output)) for arrival_s, prompt, output in rows]
    prefixes = trace.prefixes
    for place, one in enumerate(found):
        one.number = place
        if prefixes is None:
            continue
        runs = range(prefixes.starts[place], prefixes.starts[place + 1])
        spans = (range(prefixes.firsts[run], prefixes.firsts[run] + prefixes.lengths[run]) for run in runs)
        one.ids = tuple(block for span in spans for block in span)
    return found
