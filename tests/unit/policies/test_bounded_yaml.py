"""What YAML is read, and that all else is refused with its line, its value and what to do."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies import bounded_yaml
from loadline_policies.errors import InvalidInput

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Some 400 bytes that stand for 9⁹ numbers."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [x, 2.5, yes, null, ~]\nc: {d: '1', e: 0x10}\n",
         {"a": 1, "b": ["x", 2.5, True, None, None], "c": {"d": "1", "e": 16}}),
        ("- -5\n- 1_000\n- 1.0e+3\n", [-5, 1000, 1000.0]),
        ("when: 2024-13-45\nthen: 2024-01-01\n", {"when": "2024-13-45", "then": "2024-01-01"}),
        ("<<: {a: 1}\nb: =\n", {"<<": {"a": 1}, "b": "="}),
        ("a: &unused 1\n", {"a": 1}),
        ("", None),
    ],
)  # fmt: skip
def test_plain_yaml_is_read(text: str, said: object) -> None:
    assert bounded_yaml.read(text) == said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, r"line 2 is '\*a': replace the alias by its value"),
        ("a: &a [*a]", r"line 1 is '\*a'"),
        ("x: " + "[" * 17 + "]" * 17, "line 1 is 'nested 17 levels deep': use at most 16 levels"),
        ("[" * 10_000, "line 1 is 'nested 17 levels deep'"),
        ("a: 1\nb: " + "9" * 5000, "line 2 is '9{60}…': shorten the number to 32 characters"),
        ("a: " + "9" * 33 + ".5", "line 1 is '9+.5': shorten the number"),
        ("a: !!int ''", "line 1 is 'tag:yaml.org,2002:int': remove the tag"),
        ("a: !!timestamp x", "line 1 .*: remove the tag"),
        ("a: !!bool x", "line 1 .*: remove the tag"),
        ("a: !!python/object/apply:os.system [ls]", "line 1 .*: remove the tag"),
        ("a: 1\nb: 2\na: 3\n", "line 3 is 'a': remove the duplicate key"),
        ("a: 1\n---\nb: 2\n", "line 2 is '---': fix the YAML syntax of this line"),
        ("a: [", r"line 1 is 'a: \[': fix the YAML syntax of this line"),
        ("a: [\n", r"line 1 is 'a: \[': fix the YAML syntax of this line"),
        ("{[a]: 1}", "line 1 is .*: fix the YAML syntax of this line"),
        ("a: \x00", "document is .*: write plain YAML without control characters"),
        ("a: \ud800", "document is .*: write plain YAML"),
        (
            "[" + "1," * 2000 + "]",
            "line 1 is 'beyond 1000 keys and values': use at most 1000 keys and values",
        ),
        ("#" * 20_000, "document is '#{60}…': shorten it to at most 16384 characters"),
    ],
)
def test_all_else_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        bounded_yaml.read(text)
    assert len(str(refused.value).encode()) <= 1000


def test_a_number_in_quotes_is_text() -> None:
    assert bounded_yaml.read(f"a: '{'9' * 40}'") == {"a": "9" * 40}


PIECES = [
    *(
        "a",
        "b: ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        ": ",
        "&a ",
        "*a",
        "!!int ",
        "'",
        '"',
        "|\n",
        ">\n",
    ),
    *("#", "?", "---\n", "...", "<<: ", "~", "yes", "1", "-", ".5", "e9", ".inf", "0b", "0o7", "1:30:59"),
    *("2024-13-45", "%YAML 1.1\n", "é", "\t", "\x00", "\ufeff", "\ud800"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=200))
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        said = bounded_yaml.read(text)
    except InvalidInput as error:
        assert len(str(error).encode()) <= 1000
        return
    yaml.safe_dump(said)
