"""
What a Markdown page has its reader type: its blocks of code, section by section, and the commands in them.

Tests run README's commands as they are written and apply its manifests, so they take both from
the page itself. The page is parsed as a renderer does it: a block in a list is a block too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

README = Path(__file__).parents[1] / "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code: the heading of the second level above it, its language, its text."""

    section: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a block for a shell, each on one line, without comments."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    @property
    def file(self) -> str | None:
        """The name under which the reader is to save the block, if its first line is a comment with one."""
        named = re.match(r"# (\S+\.\w+)\n", self.text)
        return named[1] if named else None


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page, from top to bottom."""
    section, heading = "", False
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if heading:
            section = token.content
        heading = token.type == "heading_open" and token.tag == "h2"
        if token.type == "fence":
            yield Block(section=section, language=token.info, text=token.content)
