"""
Lines for `loadline kv train-gates`: sequences of the recall task, in which only the answers count.

    python -m testbed.kv.recall_examples examples.jsonl --count 4096 --seed 1
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from testbed.kv.recall_tasks import marked_recall


def lines(count: int, *, seed: int) -> Iterator[str]:
    """One line of JSON for each sample of `marked_recall`."""
    for sample in marked_recall(count, seed=seed).samples:
        ids, judged = sample.dialogue()
        yield json.dumps({"ids": ids, "judged": judged})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="where the lines are written")
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1, help="another one than that of what is measured")
    options = parser.parse_args()
    options.file.write_text("\n".join(lines(options.count, seed=options.seed)) + "\n")


if __name__ == "__main__":
    main()
