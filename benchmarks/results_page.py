"""
The page of results, written from the result files, so that no figure in the docs is older than its run.

Every figure, goal, reason, commit and machine comes from `benchmarks/results/*.json`; the words around
them from `results_page.toml`. A benchmark without a result file is not on the page, and one without words
shows its figures all the same. A check counts as inconclusive where it has no figure.

    python -m benchmarks.results_page       writes docs/results.md; `make generate` calls it
"""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.result_files import LOAD, RESULTS
from reference_pages import markdown
from reference_pages.markdown import code, table

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
WORDS = Path(__file__).with_suffix(".toml")
FOLDED_FROM = 20
"""With more checks than this, those that were kept are folded away."""

DIGITS = 4

HEAD = """\
# Results

<!-- Written by `make generate` from benchmarks/results; the words are in benchmarks/results_page.toml. -->

What the benchmarks measured: each section is the last run that was kept, with its commit and its machine.
Except where a machine is named with a GPU, GPUs are fakes below NVML. A check is **kept**, **missed**, or
**inconclusive**: then the run gave no figure for it. A *timing* is a check that a busy machine makes
worse; newer runs name the load average of their machine. The files in
[benchmarks/results](../benchmarks/results) have more than is shown here; terms are those of the
[glossary](glossary.md).
"""

Document: TypeAlias = dict[str, Any]
Words: TypeAlias = dict[str, Any]


def documents(folder: Path = RESULTS) -> list[Document]:
    """The result files, in the order in which the page's words have them; others follow by name."""
    order = list(_words())
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: (_place(order, one["name"]), one["name"]))


def page(documents: Iterable[Document]) -> str:
    """The whole page."""
    results, words = list(documents), _words()
    sections = [_section(each, words.get(each["name"], {})) for each in results]
    return "\n".join([HEAD, *_summary(results, words), *(line for each in sections for line in each)])


def verdict(check: Document) -> str:
    """Whether a check was kept, missed, or left without a figure."""
    if check["value"] is None or check["ok"] is None:
        return "inconclusive"
    return "kept" if check["ok"] else "missed"


def shown(value: float | bool | None) -> str:
    """A figure as the page has it: four digits at most, whole numbers whole."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return f"{value:,.0f}" if value.is_integer() else f"{value:.{DIGITS}g}"


def _words() -> dict[str, Words]:
    return tomllib.loads(WORDS.read_text("utf-8"))


def _place(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _summary(results: list[Document], words: dict[str, Words]) -> Iterator[str]:
    rows = []
    for each in results:
        counts = Counter(map(verdict, each["checks"]))
        own = words.get(each["name"], {})
        title = _title(each, own)
        numbers = (str(counts[name]) for name in ("kept", "missed", "inconclusive"))
        rows.append((f"[{title}](#{_anchor(title)})", own.get("question", ""), *numbers))
    yield table(("Benchmark", "Question", "Kept", "Missed", "Inconclusive"), rows)
    yield ""


def _section(document: Document, words: Words) -> Iterator[str]:
    yield f"## {_title(document, words)}\n"
    if words:
        yield f"{words['question']} {words['on']} Run it by `{words['command']}`.\n"
    load = document["results"].get(LOAD)
    seen = f"; load average {shown(load)}" if load is not None else ""
    yield f"Commit {_commit(document['commit'])}; {document['machine']}{seen}.\n"
    yield from _checks(document["checks"], words)
    yield from _beside(document, words)
    yield from _binding(document["checks"], words)


def _checks(checks: list[Document], words: Words) -> Iterator[str]:
    folded = [check for check in checks if verdict(check) == "kept"] if len(checks) > FOLDED_FROM else []
    open_ = [check for check in checks if check not in folded]
    if open_:
        yield f"{_table(open_, words)}\n"
    if folded:
        yield f"{markdown.folded(f'{len(folded)} checks that were kept', _table(folded, words))}\n"


def _table(checks: list[Document], words: Words) -> str:
    rows = []
    for check in checks:
        outcome = verdict(check)
        if outcome != "kept":
            outcome = f"**{outcome}**{', a timing' if check.get('timing') else ''}"
        value, goal = shown(check["value"]), _goal(check["goal"])
        rows.append((code(check["name"]), _meaning(check, words), value, goal, outcome))
    return table(("Check", "What it counts", "Value", "Goal", "Outcome"), rows)


def _beside(document: Document, words: Words) -> Iterator[str]:
    """Results without a goal that the words name, as far as this file has them."""
    results = document["results"]
    named = {name: text for name, text in words.get("beside", {}).items() if name in results}
    if named:
        yield "Measured in the same run, without a goal:\n"
        rows = ((code(name), text, shown(results[name])) for name, text in named.items())
        yield table(("Result", "What it counts", "Value"), rows)
        yield ""


def _binding(checks: list[Document], words: Words) -> Iterator[str]:
    """What the run said of each check that it didn't keep, and what was found to cause it."""
    open_ = [check for check in checks if verdict(check) != "kept"]
    for check in open_:
        cause = words.get("binds", {}).get(check["name"])
        found = f" What binds: {cause}" if cause and verdict(check) == "missed" else ""
        reason = check["reason"].removeprefix("missed: ").rstrip(".")
        yield f"- `{check['name']}` is {verdict(check)}: {reason}.{found}"
    if open_:
        yield ""


def _meaning(check: Document, words: Words) -> str:
    meanings = words.get("checks", {})
    _, _, last = check["name"].rpartition(": ")
    return str(meanings.get(check["name"]) or meanings.get(last, ""))


def _title(document: Document, words: Words) -> str:
    return str(words.get("title", document["name"]))


def _anchor(title: str) -> str:
    """The fragment that renderers of Markdown make of a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _commit(commit: str) -> str:
    digits, _, dirty = commit.partition("-")
    return f"`{digits}`" + (", with changes that no commit holds" if dirty else "")


def _goal(goal: str) -> str:
    return goal.replace("<=", "≤").replace(">=", "≥").replace("= true", "yes")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(documents()), "utf-8")


if __name__ == "__main__":
    main()
