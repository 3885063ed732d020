"""One page of the reference: its file, its title, two sentences on what it is for, and its sections."""

from dataclasses import dataclass

COMMAND = "make generate"
"""Writes all pages anew; named in every page and in the test that finds one stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page; `about` is its first paragraph and its line in the index, `source` the code it is made from."""

    file: str
    title: str
    about: str
    source: str
    sections: tuple[str, ...]

    @property
    def text(self) -> str:
        """The file's content."""
        note = f"<!-- Generated from {self.source} by `{COMMAND}`: change that, not this file. -->"
        return "\n\n".join((note, f"# {self.title}", self.about, *self.sections)) + "\n"
