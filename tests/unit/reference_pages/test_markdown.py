"""What the code's texts have that Markdown would read as its own."""

from reference_pages import markdown


def test_a_bar_or_a_line_end_ends_no_cell() -> None:
    told = markdown.table(("a", "b"), [("table|json", "one\ntwo")])
    assert told.splitlines()[-1] == r"| table\|json | one two |"


def test_an_angle_bracket_begins_no_tag_and_stays_in_code() -> None:
    assert markdown.prose("a <b> and `a <b>`") == "a &lt;b> and `a <b>`"


def test_code_with_a_backtick_stays_one_span() -> None:
    assert markdown.code("a ` b") == "`` a ` b ``"
