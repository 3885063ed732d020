"""
What bounding the KV memory of requests changes: tokens, memory, answers, and the time of a step.

A small model that was trained to recall facts of its prompt is served by vLLM on this machine's CPU, with
retention and without, and what it answers is compared token for token with a computation in plain torch. How
many requests run at once is counted in a pool of 1,024 tokens. How many answers are right is computed for
each policy, beside 8 and 4 bits, at equal bytes; that is arithmetic, no kernel. If an oracle, which keeps
what will be asked, answers less than 97 % right, no policy can be judged by the model, and the run ends with
status 1 and without a result.

Agentic sessions are scheduled by vLLM's scheduler in simulated time, to count what bounded requests compute
that others find in the prefix cache. A step in which nothing is folded is timed with the plugin's classes and
with vLLM's, in turns.

    python -m benchmarks.kv             about 15 minutes on an idle machine; writes the result
    python -m benchmarks.kv --quick     a few requests of everything; the figures mean nothing

A run of the same code goes on where another ended (build/kv). docs/results.md explains the checks.

Writes benchmarks/results/kv.json.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from benchmarks.kv_retention import findings, parts
from benchmarks.kv_retention.parts import Options
from benchmarks.result_files import (
    RESULTS,
    Check,
    all_of,
    at_least,
    at_most,
    destination,
    finish,
    holds,
    none,
    parser,
    report,
    took,
)

RESULT = RESULTS / "kv.json"

LEAST_ORACLE = 0.97
LEAST_RUNNING_RATIO, MOST_STEPS_RATIO = 4.0, 0.25
LEAST_RECALL, LEAST_PROTECTED = 0.98, 0.98
MOST_OVERHEAD, LEAST_PAIRS, LEAST_STEP_MS = 0.03, 30, 20.0
OURS, STOCK = "trimkv 32", "stock"

Row = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise wasn't kept, or if the oracle says that nothing can be judged."""
    options = parser("benchmarks.kv", __doc__)
    options.add_argument("--quick", action="store_true", help="try it in a few minutes; writes nothing")
    asked = options.parse_args(arguments)
    what = parts.QUICK if asked.quick else Options()
    kept = destination(RESULT, writes=not (asked.quick or asked.dirty))
    recall = parts.recall(what)["rows"]
    oracle = findings.least_oracle(recall)
    if oracle < LEAST_ORACLE:
        print(
            f"error: the oracle answers {oracle:.3f} right, less than {LEAST_ORACLE}\n"
            "hint: the recall model was trained badly, so no policy can be judged by it; train it again",
            file=sys.stderr,
        )
        return 1
    return finish(_report(recall, parts.others(what), what), kept)


def _report(recall: Sequence[Row], measured: Mapping[str, Row], options: Options) -> dict[str, Any]:
    pool, sessions = findings.pools(measured), findings.sessions(measured)
    heuristic = findings.best_heuristic(recall)
    return report(
        "kv",
        inputs=_inputs(options),
        seeds=[options.seed, *options.session_seeds],
        results={
            "recall": [dict(row) for row in recall],
            "equal_to_stock": {
                name: f"{equal.tokens} of {equal.of}"
                for name, equal in findings.stock_tokens(measured).items()
            },
            "right": {
                name: f"{row['right']} of {len(row['answers'])}"
                for name, row in measured.items()
                if name.startswith("tokens: ")
            },
            "pools": [{"engine": name, **row} for name, row in pool.items()],
            "sessions": sessions,
            "ranks": dict(measured["ranks"]),
            "idle": dict(measured["idle"]),
            "running_ratio_over_4bit": findings.running_ratio(pool, OURS, f"{STOCK}, 4 bits"),
            "running_ratio_with_4bit": findings.running_ratio(pool, f"{OURS}, 4 bits", STOCK),
            "running_ratio_shared_prompts": findings.running_ratio(
                pool, f"{OURS}, shared prompts", f"{STOCK}, shared prompts"
            ),
            "retention_with_prefix_hits_ratio": findings.sessions_ratio(sessions),
            "best_heuristic_at_32": heuristic["policy"],
            "best_heuristic_recall_at_32": heuristic["accuracy"],
            "recall_4bit_at_equal_bytes": findings.arm(recall, "marked_recall", "full", bits=4)["accuracy"],
        },
        checks=[
            *_equal(measured),
            *_memory(pool),
            *_recall(recall),
            _overhead(measured["idle"]),
            _ranks(measured),
        ],
    )


def _inputs(options: Options) -> dict[str, Any]:
    return {
        **{name: value for name, value in asdict(options).items() if name not in {"seed", "session_seeds"}},
        "pool_blocks": parts.POOL_BLOCKS,
        "pool_blocks_4bit": parts.blocks_of_4_bits(parts.POOL_BLOCKS),
        "block_tokens": 32,
    }


def _equal(measured: Mapping[str, Row]) -> list[Check]:
    """Tokens that must be those of the reference, of vLLM alone, and of an engine that preempts none."""
    unbounded = findings.stock_tokens(measured)
    preempted = findings.preempted_tokens(measured)
    differs = "the engine kept other tokens than the reference, or the kernel saw others"
    few = measured["preempted: few blocks"]
    return [
        *(
            all_of(f"{name}_tokens_equal", equal.tokens, of=equal.of, reason=differs)
            for name, equal in findings.bounded_tokens(measured).items()
        ),
        holds(
            "m_full_equals_stock",
            value=all(unbounded[name].tokens == unbounded[name].of for name in ("all kept", "large budget")),
            reason="requests that are never folded are answered otherwise than by vLLM alone",
        ),
        all_of(
            "preempted_tokens_equal",
            preempted.tokens if preempted else None,
            of=preempted.of if preempted else sum(map(len, few["answers"])),
            reason=f"{few['preemptions']} preemptions changed tokens",
        ),
    ]


def _memory(pool: Mapping[str, Row]) -> list[Check]:
    ours, stock = pool[OURS], pool[STOCK]
    return [
        at_least(
            "running_ratio",
            findings.running_ratio(pool, OURS, STOCK),
            goal=LEAST_RUNNING_RATIO,
            reason=f"{ours['mean_running']:.2f} requests run at once, {stock['mean_running']:.2f} of vLLM's",
        ),
        none(
            "preemptions", ours["preemptions"], reason="bounded requests needed more blocks than there were"
        ),
        at_most(
            "steps_ratio",
            ours["steps"] / stock["steps"],
            goal=MOST_STEPS_RATIO,
            reason=f"{ours['steps']} steps, {stock['steps']} of vLLM's",
        ),
    ]


def _recall(rows: Sequence[Row]) -> list[Check]:
    above = findings.above_limit(rows)
    heuristic = findings.best_heuristic(rows)
    return [
        at_least(
            "recall_oracle", findings.least_oracle(rows), goal=LEAST_ORACLE, reason="no policy can be judged"
        ),
        at_least(
            "recall_at_32",
            findings.recall_over_full(rows),
            goal=LEAST_RECALL,
            reason=f"the best heuristic, {heuristic['policy']}, answers {heuristic['accuracy']:.2f} right",
        ),
        none(
            "plain_recall_above_limit",
            len(above) if findings.limited(rows) else None,
            reason=f"so the task tells beforehand what will be asked: {[row['policy'] for row in above]}",
        ),
        _protected(rows),
    ]


def _protected(rows: Sequence[Row]) -> Check:
    """The accuracy on a protected span; no figure where folding loses nothing of it anyway."""
    unguarded = findings.protected_span(rows, guard="none")
    value = findings.protected_span(rows, guard="protect")
    return at_least(
        "protected_span_accuracy",
        value if unguarded < LEAST_PROTECTED else None,
        goal=LEAST_PROTECTED,
        reason=f"unguarded it is {unguarded:.2f}",
    )


def _overhead(idle: Row) -> Check:
    """The cost of a step in which nothing is folded. Noise above the goal, or few pairs, show nothing."""
    reason = f"the median is {idle['overhead']:.3f} of a step of {idle['step_ms']:.0f} ms"
    check = took("idle_overhead", idle["overhead_upper"], goal=MOST_OVERHEAD, reason=reason)
    if idle["noise"] <= MOST_OVERHEAD and idle["pairs"] >= LEAST_PAIRS and idle["step_ms"] >= LEAST_STEP_MS:
        return check
    why = f"inconclusive: noise of {idle['noise']:.3f}, {idle['pairs']} pairs"
    return replace(check, ok=False, reason=f"{why}; {reason}")


def _ranks(measured: Mapping[str, Row]) -> Check:
    found = measured["ranks"]
    alike = ("schedules_equal", "tables_equal", "folds_equal")
    differ = [name for name in alike if not found[name]]
    return holds(
        "ranks_agree",
        value=not differ and bool(found["folds"] and found["preemptions"] and found["kept_differ"]),
        reason=f"not so: {', '.join(differ)}" if differ else "too little was folded, preempted or kept apart",
    )


if __name__ == "__main__":
    sys.exit(main())
