"""Every design note is in the index, has the template's sections in order, and names code that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DESIGNS = ROOT / "docs" / "designs"
INDEX = (DESIGNS / "README.md").read_text("utf-8")
NOTES = sorted(DESIGNS.glob("0*.md"))
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def template() -> list[str]:
    """The sections that the index asks of a note."""
    block = re.search(r"```markdown\n(.*?)```", INDEX, re.DOTALL)
    assert block is not None
    return SECTION.findall(block[1])


def named_code(note: Path) -> list[str]:
    """The paths in a note's last section, with each `{a,b}` written out."""
    _, _, code = note.read_text("utf-8").partition("\n## Code\n")
    named = []
    for path in re.findall(r"`([^`\s]+/[^`\s]*|[A-Z]\w+|[\w.]+\.toml)`", code):
        before, _, rest = path.partition("{")
        names, _, after = rest.partition("}")
        named += [before + name + after for name in names.split(",")]
    return named


def test_the_index_lists_every_note_once_and_in_order() -> None:
    assert re.findall(r"^\| \[\d{4}\]\((\S+)\)", INDEX, re.MULTILINE) == [note.name for note in NOTES]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_a_note_has_the_templates_sections(note: Path) -> None:
    text = note.read_text("utf-8")
    assert text.startswith(f"# {note.name[:4]}: ")
    assert SECTION.findall(text) == template()


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_the_code_that_a_note_names_is_there(note: Path) -> None:
    assert named_code(note)
    assert [path for path in named_code(note) if not (ROOT / path).exists()] == []
