"""
Markdown as GitHub shows it: tables, code and what must be escaped in both.

Texts come from descriptions in the code, which know nothing of Markdown: a `|` would end a cell, a
`<` would begin a tag. Inside of backticks only the `|` matters.
"""

import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown, except that line ends and bars in them are made harmless."""
    return "\n".join([_row(heads), "|" + "---|" * len(heads), *map(_row, rows)])


def code(text: str) -> str:
    """A span of code, also where the text has backticks of its own."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def fenced(text: str, language: str) -> str:
    """A block of code, shown as it is."""
    return f"```{language}\n{text.strip()}\n```"


def prose(text: str) -> str:
    """A sentence of the code's, in which `<` is no tag and backticks still mark code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def folded(summary: str, body: str) -> str:
    """What only some readers want to see, behind one line."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
