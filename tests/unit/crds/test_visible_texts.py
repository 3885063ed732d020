"""Text of others does nothing but show, in few enough bytes, and stays as it is."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.visible_texts import told, visible, visible_json, visible_lines
from testbed.foreign_texts import foreign_texts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bell\x07", r"bell\x07"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("two\nlines\ttabbed\r", r"two\nlines\ttabbed\r"),
        ("nul\x00", r"nul\x00"),
        ("half \ud800", r"half \ud800"),
        ("next\x85line\u2028and\u2029on", r"next\x85line\u2028and\u2029on"),
        ("none\ufffe\uffff\U0001ffff", r"none\ufffe\uffff\U0001ffff"),
        ("turned \u202eround", r"turned \u202eround"),
        ("größe 模型 🚀 👩\u200d🚀 C:\\new", "größe 模型 🚀 👩\u200d🚀 C:\\new"),
    ],
)
def test_what_would_do_more_than_show_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_no_character_of_unicode_is_forgotten() -> None:
    odd = {"Cc", "Cs", "Zl", "Zp"}
    left = [one for one in map(chr, range(0x110000)) if visible(one) == one]
    assert not [one for one in left if unicodedata.category(one) in odd]
    assert not [one for one in left if ord(one) & 0xFFFE == 0xFFFE]
    assert not [one for one in left if unicodedata.bidirectional(one) in {"LRE", "RLE", "LRO", "RLO", "PDF"}]


@given(foreign_texts, st.integers(3, 1500))
def test_any_text_fits_and_stays(text: str, most: int) -> None:
    once = told(text, most_bytes=most)
    assert len(once.encode("utf-8")) <= most
    assert told(once, most_bytes=most) == once


@pytest.mark.parametrize(
    ("text", "cut"), [("🚀" * 3, "🚀…"), ("aé" * 4, "aéaéa…"), ("a" * 11, "a" * 7 + "…")]
)
def test_a_text_is_cut_at_a_character(text: str, cut: str) -> None:
    assert told(text, most_bytes=10) == cut


def test_lines_stay_lines() -> None:
    assert visible_lines("one\ntwo\x1b\r\n") == "one\ntwo\\x1b\\r\n"


@given(foreign_texts)
def test_json_that_is_made_visible_says_the_same(text: str) -> None:
    shown = visible_json(json.dumps({"text": text}, indent=2, ensure_ascii=False))
    assert json.loads(shown) == json.loads(json.dumps({"text": text}))
    assert visible_lines(shown) == shown
    shown.encode("utf-8")
