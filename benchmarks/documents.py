"""
What the worst policy documents cost whoever reads them, and whether anybody dies of one.

Known hostile documents and generated ones are parsed by the product's own parser, as the operator and
each coordinator do: time on the processor, the sentence of the refusal, and whatever else is raised.
Then an agent's informer lists all known ones in a running event loop, beside a task that only counts
how long it was kept from its turn; and the same with good documents, as the baseline of the machine.

    python -m benchmarks.documents [--generated 20000]

Writes benchmarks/results/documents.json, unless it was told less than the full run.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.result_files import RESULTS, at_most, destination, finish, none, parser, report, took
from loadline_agent.kube.clients import Event, Kube, Listing
from loadline_agent.kube.informers import Informer
from loadline_agent.kube.object_parsers import Policy, policy_of
from loadline_api.names import POLICY_KEY
from loadline_policies import bounded_yaml, documents
from loadline_policies.errors import InvalidPolicy
from testbed.hostile_documents import HEAD, KNOWN, generated

RESULT = RESULTS / "documents.json"
GENERATED, FEWEST_KNOWN, ROUNDS = 20_000, 50, 5
TICK_S = 0.001
TOLD_EVERY = 5_000
TIMES = 3
"""How often each document is parsed; the best time counts."""


@dataclass(slots=True)
class Worst:
    """The worst of many documents. `deaths` are those that raised something else than a refusal."""

    refused: int = 0
    parse_cpu_ms: float = 0.0
    slowest: str = ""
    sentence_bytes: int = 0
    deaths: int = 0
    died_of: str = ""

    def parse(self, name: str, text: str) -> None:
        """Parse a document and note what came of it; its time is the best of several."""
        cpu_ms = min(self._parsed_ms(name, text) for _ in range(TIMES))
        if cpu_ms > self.parse_cpu_ms:
            self.parse_cpu_ms, self.slowest = cpu_ms, name

    def _parsed_ms(self, name: str, text: str) -> float:
        began = time.thread_time()
        try:
            documents.parse(text)
        except InvalidPolicy as error:
            self.refused += 1
            self.sentence_bytes = max(self.sentence_bytes, len(str(error).encode(errors="replace")))
        except BaseException as error:  # whatever it is, it would have ended who reads it
            self.deaths += 1
            self.died_of = f"{name}: {type(error).__name__}"
        return 1000 * (time.thread_time() - began)


class Listed(Kube):
    """An API server that has these policies and no changes."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._items = [
            {"metadata": {"name": f"policy-{i}", "namespace": "loadline-system"}, "data": {POLICY_KEY: text}}
            for i, text in enumerate(texts)
        ]

    async def list(self, path: str, *, labels: str = "", fields: str = "") -> Listing:
        return Listing("1", self._items)

    async def watch(
        self, path: str, version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Event, None]:
        await asyncio.Event().wait()
        yield Event("BOOKMARK", {})


async def blocked_ms(texts: Iterable[str]) -> float:
    """For how long at most a task was kept from its turn while an informer listed these policies."""
    longest_s = 0.0

    async def tick() -> None:
        nonlocal longest_s
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            longest_s = max(longest_s, time.perf_counter() - before - TICK_S)

    informer = Informer[Policy](Listed(texts), "/policies", parse=policy_of, on_change=lambda: None)
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(10 * TICK_S)
    await informer.list_all()
    await asyncio.sleep(10 * TICK_S)
    ticking.cancel()
    return 1000 * longest_s


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a goal was missed."""
    options = parser("benchmarks.documents", __doc__)
    options.add_argument("--generated", type=int, default=GENERATED, help="how many (%(default)s)")
    asked = options.parse_args(arguments)
    count = asked.generated
    whole = count >= GENERATED and len(KNOWN) >= FEWEST_KNOWN
    kept = destination(RESULT, writes=whole and not asked.dirty)
    worst = Worst()
    for name, text in KNOWN.items():
        worst.parse(name, text)
    for seed in range(count):
        worst.parse(f"seed {seed}", generated(seed))
        if seed % TOLD_EVERY == TOLD_EVERY - 1:
            print(f"{seed + 1} of {count} generated documents", file=sys.stderr)
    tried = KNOWN.values(), [HEAD] * len(KNOWN)
    rounds = [[asyncio.run(blocked_ms(texts)) for texts in tried] for _ in range(ROUNDS)]
    hostile_ms, good_ms = map(min, zip(*rounds, strict=True))
    return finish(_report(worst, count, hostile_ms=hostile_ms, good_ms=good_ms), kept)


def _report(worst: Worst, count: int, *, hostile_ms: float, good_ms: float) -> dict[str, Any]:
    return report(
        "documents",
        inputs={"known": len(KNOWN), "generated": count, "longest": bounded_yaml.MAX_CHARACTERS},
        seeds=[0, count],
        results={
            "refused": worst.refused / TIMES,
            "slowest": worst.slowest,
            "loop_blocked_by_good_ones_ms": good_ms,
        },
        checks=[
            took("worst_parse_cpu_ms", worst.parse_cpu_ms, goal=50.0, reason=worst.slowest),
            took("loop_blocked_ms", hostile_ms, goal=20.0, reason="one document holds up the loop"),
            at_most("worst_sentence_bytes", worst.sentence_bytes, goal=1000, reason="a value isn't cut"),
            none("deaths", worst.deaths, reason=worst.died_of),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
