"""A broken edit of a policy keeps the last good one."""

from loadline_operator.documents.store import Document, read
from loadline_operator.kinds import Manifest

GOOD = "schema: policies.loadline.dev/v1alpha1\nloop: power\npolicy: no-cap\n"


def config_map(text: str | None) -> Manifest:
    return {"metadata": {"name": "p"}, "data": {"policy.yaml": text} if text is not None else {"other": ""}}


def test_a_good_document_has_a_hash() -> None:
    document = read(config_map(GOOD), None)
    assert document.valid
    assert document.policy == "no-cap"
    assert document.good_hash


def test_a_broken_edit_keeps_the_last_good_hash() -> None:
    before = read(config_map(GOOD), None)
    after = read(config_map(GOOD + "settings: {x: 1}\n"), before)
    assert not after.valid
    assert after.good_hash == before.good_hash
    assert "settings.x" in (after.fault or "")


def test_a_document_that_was_never_good_has_no_hash() -> None:
    assert read(config_map("- no"), None).good_hash is None


def test_the_key_that_is_missing_is_named() -> None:
    document = read(config_map(None), None)
    assert "policy.yaml" in (document.fault or "")
    assert "other" in (document.fault or "")


def test_a_mended_document_is_good_again() -> None:
    broken = Document(good_hash=None, policy=None, fault="x")
    assert read(config_map(GOOD), broken).valid
