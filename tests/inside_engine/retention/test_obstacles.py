"""An engine that can't bound its requests serves, or ends with the reason as its last words, as asked."""

from pathlib import Path

import pytest

from loadline_api.kv_retention import REFUSAL
from loadline_vllm.retention import obstacles
from loadline_vllm.retention.obstacles import FIXES, CannotBound, Obstacle, refuse_if_asked


@pytest.fixture
def last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which Kubernetes looks for them."""
    file = tmp_path / "termination-log"
    file.touch()
    monkeypatch.setattr(obstacles, "TERMINATION_MESSAGE", file)
    return file


def ask(monkeypatch: pytest.MonkeyPatch, retention: str, on_failure: str | None) -> None:
    monkeypatch.setenv("LOADLINE_RETENTION", retention)
    if on_failure is not None:
        monkeypatch.setenv("LOADLINE_RETENTION_ON_PROBE_FAILURE", on_failure)


@pytest.mark.parametrize(
    ("retention", "on_failure"),
    [("off", "refuse"), ("observe", "refuse"), ("enforce", "degrade"), ("enforce", None)],
)
def test_an_engine_serves_unless_it_must_bound(
    last_words: Path, monkeypatch: pytest.MonkeyPatch, retention: str, on_failure: str | None
) -> None:
    ask(monkeypatch, retention, on_failure)
    refuse_if_asked(Obstacle.ATTENTION)
    assert last_words.read_text() == ""


@pytest.mark.parametrize("reason", Obstacle)
def test_one_that_must_ends_with_the_reason_and_the_fix(
    last_words: Path, monkeypatch: pytest.MonkeyPatch, reason: Obstacle
) -> None:
    ask(monkeypatch, "enforce", "refuse")
    with pytest.raises(CannotBound) as raised:
        refuse_if_asked(reason)
    text = str(raised.value)
    assert text == f"{REFUSAL}{reason}: {FIXES[reason]}, or set kvCache.retention.onProbeFailure to Degrade"
    assert last_words.read_text() == f"{text}\n"


def test_the_fix_may_be_that_of_a_setting(last_words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "enforce", "refuse")
    with pytest.raises(CannotBound, match=r"Settings: retention\.buffer_tokens is 48: set a multiple"):
        refuse_if_asked(Obstacle.SETTINGS, fix="retention.buffer_tokens is 48: set a multiple of 32")


def test_outside_of_kubernetes_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "termination-log"
    monkeypatch.setattr(obstacles, "TERMINATION_MESSAGE", file)
    ask(monkeypatch, "enforce", "refuse")
    with pytest.raises(CannotBound):
        refuse_if_asked(Obstacle.WORKER)
    assert not file.exists()


def test_last_words_that_cannot_be_written_hide_no_reason(
    last_words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    ask(monkeypatch, "enforce", "refuse")
    with pytest.raises(CannotBound, match="Worker"):
        refuse_if_asked(Obstacle.WORKER)
