"""`loadline study power` from files and options to a table, a report and a ConfigMap."""

from pathlib import Path

import pytest

from loadline_cli import power_studies
from loadline_cli.exits import CommandError


def test_numbers_of_servers_are_sorted_and_single() -> None:
    assert power_studies.counts("52,44, 44") == (44, 52)


@pytest.mark.parametrize("text", ["", "many", "44;48"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--servers"):
        power_studies.counts(text)


def test_a_policy_is_called_as_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("policy: polca\n", "utf-8")
    assert power_studies.documents_of([file]) == {"mine": "policy: polca\n"}


def test_a_file_that_is_named_as_a_built_in_policy_or_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "polca.yaml"
    file.write_text("", "utf-8")
    with pytest.raises(CommandError, match="two policies are called `polca`"):
        power_studies.documents_of([file])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file"):
        power_studies.documents_of([tmp_path / "none.yaml"])
