"""A label that no node can have is told from one that none has."""

import pytest

from loadline_api.label_forms import fault


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("row", "a"),
        ("node-restriction.kubernetes.io/row", "A_1.b"),
        ("kubernetes.io/hostname", ""),
        ("a" * 63, "b" * 63),
    ],
)
def test_labels_as_nodes_have_them_have_no_fault(key: str, value: str) -> None:
    assert fault(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Größe/x", "y", "part before the slash"),
        ("a/b/c", "y", "part before the slash"),
        ("/x", "y", "part before the slash"),
        ("example.com/", "y", "the key's name"),
        ("row name", "y", "the key's name"),
        ("a" * 64, "y", "1 to 63"),
        ("row", "y z", "the value"),
        ("row", "-y", "the value"),
        ("row", "y\n", "the value"),
    ],
)
def test_what_is_against_the_form_is_named(key: str, value: str, words: str) -> None:
    found = fault(key, value)
    assert found is not None
    assert words in found
