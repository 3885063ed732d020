"""The committed reference is what the code says, and every page holds all that it promises."""

from pathlib import Path

import pytest

from loadline_agent import gauges
from loadline_api.conditions import ConditionType
from loadline_api.generate import DEFINITIONS, crd
from loadline_api.reasons import Reason
from loadline_cli.exits import Exit
from loadline_policies.registry import POLICIES
from loadline_vllm import presence
from reference_pages import __main__ as generator
from reference_pages import commands, conditions, indexes, policies, schema_fields
from reference_pages.pages import COMMAND

ROOT = Path(__file__).parents[3]
PAGES = indexes.files()


def field_paths() -> set[str]:
    """Every path below a spec, of all kinds."""
    schemas = [crd(one)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for one in DEFINITIONS]
    specs = [schema["properties"]["spec"] for schema in schemas]
    return {field.path for spec in specs for field in schema_fields.fields(spec, "spec")}


def test_the_committed_pages_are_those_of_the_code() -> None:
    assert generator.stale(ROOT) == [], f"run `python -m reference_pages`, or all of `{COMMAND}`"


def test_a_page_that_was_edited_deleted_or_left_over_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generator.main(["--root", str(tmp_path)]) == 0
    assert generator.main(["--root", str(tmp_path), "--check"]) == 0
    folder = tmp_path / "docs" / "reference"
    (folder / "cli.md").write_text("# By hand\n")
    (folder / "crds.md").unlink()
    (folder / "old.md").write_text("")
    capsys.readouterr()
    assert generator.main(["--root", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert [line.rpartition("/")[2] for line in told.splitlines()[:-1]] == ["crds.md", "cli.md", "old.md"]
    assert told.endswith("hint: run `make generate`\n")
    assert len(generator.write(tmp_path)) == 3
    assert generator.stale(tmp_path) == []


def test_the_index_names_every_page() -> None:
    assert [name for name in PAGES if name != "README.md" and f"]({name})" not in PAGES["README.md"]] == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_page_begins_with_two_sentences(name: str) -> None:
    about = PAGES[name].split("\n\n")[2]
    assert about.count(". ") == 1
    assert about.endswith(".")


def test_every_field_of_every_kind_is_listed() -> None:
    assert {path for path in field_paths() if f"| `{path}` |" not in PAGES["crds.md"]} == set()


def test_every_condition_has_a_kind_and_a_writer() -> None:
    listed = {type for _, _, writers in conditions.KINDS for _, types in writers for type in types}
    assert listed == set(ConditionType)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason: Reason) -> None:
    assert f"| `{reason}` | " in PAGES["conditions.md"]


def test_every_metric_is_listed_by_the_name_that_prometheus_has() -> None:
    page = PAGES["metrics.md"]
    named = [*(gauge.name for gauge in gauges.ALL), presence.INFO.name, "loadline_operator_requests_total"]
    assert [name for name in named if f"| `{name}` | " not in page] == []
    assert "| `loadline_engine_scrapes_total` | counter | `outcome`: read, unreachable" in page
    assert "| `loadline:agent_reports_total` | counter | `outcome`: answered, unreachable" in page
    assert "CONTROLLER" not in page


def test_every_policy_has_its_settings() -> None:
    for by_name in POLICIES.values():
        for policy in by_name.values():
            part = PAGES["policies.md"].partition(f"### {policy.name}\n")[2].partition("\n#")[0]
            settings = [field.alias for field in policy.config.model_fields.values()]
            assert part
            assert [name for name in settings if f"| `{name}` |" not in part] == []


def test_the_field_that_chooses_a_loop_is_one() -> None:
    assert {field for _, field in policies.LOOPS.values()} <= field_paths()


def test_every_command_that_answers_has_its_exit_codes() -> None:
    known = {one.path: set(one.exit_codes) for one in commands.commands()}
    assert known["loadline drill"] == {Exit.OK, Exit.FAILURE, Exit.COULD_NOT_RUN}
    groups = ["loadline policies", "loadline study", "loadline kv"]
    assert [path for path, codes in known.items() if not codes] == groups
