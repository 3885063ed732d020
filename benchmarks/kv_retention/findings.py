"""
What comes of the parts of retention's benchmark: how many tokens are equal, and by how much pools differ.

Rows and counts only; `benchmarks.kv` has the goals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.kv_retention.parts import ARMS, BOUNDED

Row = Mapping[str, Any]
Answers = Sequence[Sequence[int]]

FIRST_KEPT: Final = 32
"""M at which recall is judged."""


@dataclass(frozen=True, slots=True)
class Equal:
    """How many tokens are equal, of how many."""

    tokens: int
    of: int

    @classmethod
    def counted(cls, ones: Answers, others: Answers) -> "Equal":
        """Token for token. What one answer has more than the other isn't equal."""
        pairs = list(zip(ones, others, strict=True))
        return cls(
            sum(one == other for pair in pairs for one, other in zip(*pair, strict=False)),
            sum(max(len(one), len(other)) for one, other in pairs),
        )


def bounded_tokens(parts: Mapping[str, Row]) -> dict[str, Equal]:
    """By policy and budget, the tokens that are the reference's."""
    return {
        f"{policy}_{kept}": Equal.counted(
            parts[f"tokens: {policy} {kept}"]["answers"], parts[f"reference: {policy} {kept}"]["answers"]
        )
        for policy, kept in BOUNDED
    }


def stock_tokens(parts: Mapping[str, Row]) -> dict[str, Equal]:
    """By setting, the tokens that are those of vLLM without the plugin."""
    stock = parts["tokens: stock"]["answers"]
    named = ("all kept", "large budget", *(f"{policy} {kept}" for policy, kept in BOUNDED))
    return {name: Equal.counted(parts[f"tokens: {name}"]["answers"], stock) for name in named}


def preempted_tokens(parts: Mapping[str, Row]) -> Equal | None:
    """Tokens that preemptions left as they were; None if there were none to compare."""
    few, many = parts["preempted: few blocks"], parts["preempted: many blocks"]
    if not few["preemptions"] or many["preemptions"]:
        return None
    return Equal.counted(few["answers"], many["answers"])


def pools(parts: Mapping[str, Row]) -> dict[str, Row]:
    """What the engines of the small pool did, by their names."""
    return {name.removeprefix("pool: "): row for name, row in parts.items() if name.startswith("pool: ")}


def running_ratio(pool: Mapping[str, Row], one: str, other: str) -> float:
    """How many times as many requests ran at once in one engine."""
    return float(pool[one]["mean_running"] / pool[other]["mean_running"])


def sessions(parts: Mapping[str, Row]) -> list[dict[str, Any]]:
    """By seed, the tokens that retention computes of those of vLLM with its prefix cache."""
    found = []
    for name, stock in parts.items():
        if name.startswith(f"sessions: {ARMS[0]}, "):
            bounded = parts[name.replace(ARMS[0], ARMS[1])]
            found.append(
                {
                    "seed": stock["seed"],
                    "sessions": stock["sessions"],
                    "requests": stock["requests"],
                    "prompt_tokens": stock["prompt_tokens"],
                    "computed_tokens_stock": stock["computed_tokens"],
                    "computed_tokens_retention": bounded["computed_tokens"],
                    "ratio": bounded["computed_tokens"] / stock["computed_tokens"],
                }
            )
    return found


def sessions_ratio(rows: Sequence[Row]) -> float:
    """Of all seeds together."""
    stock, bounded = (float(sum(row[f"computed_tokens_{arm}"] for row in rows)) for arm in ARMS)
    return bounded / stock


def arm(rows: Sequence[Row], task: str, policy: str, **more: Any) -> Row:
    """The one arm of a task with a policy; `more` is what else its row must have."""
    wanted = {"task": task, "policy": policy, "bits": 16, "guard": "none", **more}
    (found,) = (row for row in rows if wanted.items() <= row.items())
    return found


def least_oracle(rows: Sequence[Row]) -> float:
    """The lowest accuracy of a policy that keeps what will be asked."""
    return min(float(row["accuracy"]) for row in rows if row["policy"] == "oracle")


def recall_over_full(rows: Sequence[Row]) -> float:
    """TRIM-KV's accuracy at the first budget, of that of a model that keeps everything."""
    full = arm(rows, "marked_recall", "full")["accuracy"]
    return float(arm(rows, "marked_recall", "trimkv", kept_tokens=FIRST_KEPT)["accuracy"] / full)


def best_heuristic(rows: Sequence[Row]) -> Row:
    """The best policy that nothing was trained for, at the first budget."""
    others = ("full", "oracle", "trimkv")
    return max(
        (
            row
            for row in rows
            if row["task"] == "marked_recall"
            and row["kept_tokens"] == FIRST_KEPT
            and row["policy"] not in others
        ),
        key=lambda row: float(row["accuracy"]),
    )


def above_limit(rows: Sequence[Row]) -> list[Row]:
    """Arms of plain recall that know more than what they keep can say. A limit of 1 excludes nothing."""
    return [row for row in rows if row["limit"] is not None and row["accuracy"] > row["limit"]]


def limited(rows: Sequence[Row]) -> list[Row]:
    """Arms of plain recall whose limit can be exceeded at all."""
    return [row for row in rows if row["limit"] is not None and row["limit"] < 1]


def protected_span(rows: Sequence[Row], *, guard: str) -> float:
    """TRIM-KV's accuracy on the facts of the system's part, at the first budget."""
    row = arm(rows, "system_facts", "trimkv", kept_tokens=FIRST_KEPT, guard=guard)
    return float(row["by_part"][0])
