"""The alerts, as Prometheus itself reads them: they fire when they should, and only then."""

import subprocess
from pathlib import Path

import pytest
import yaml

from testbed import promtools
from testbed.charts import CHART

RULES = CHART / "files" / "rules" / "loadline.yaml"
SERIES = Path(__file__).parent / "alerts.yaml"


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' checker of rules."""
    found = promtools.find()
    if found is None:
        pytest.skip("no promtool on PATH, and no apt-get to fetch the package prometheus with")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_understands_every_rule(promtool: Path) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert f"SUCCESS: {len(rules)} rules found" in run(promtool, "check", "rules", RULES)


def test_the_alerts_fire_when_they_should(promtool: Path, tmp_path: Path) -> None:
    cases = yaml.safe_load(SERIES.read_text())
    tested = tmp_path / "alerts.yaml"
    tested.write_text(yaml.safe_dump({**cases, "rule_files": [str(RULES)]}))
    run(promtool, "test", "rules", tested)


def test_no_alert_is_untested() -> None:
    rules = yaml.safe_load(RULES.read_text())
    named = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert [name for name in named if name not in SERIES.read_text()] == []


def test_every_alert_of_power_has_its_line_of_what_to_do() -> None:
    (rules,) = (
        group for group in yaml.safe_load(RULES.read_text())["groups"] if group["name"] == "loadline-power"
    )
    told = (CHART.parents[1] / "docs" / "reliability.md").read_text()
    assert [rule["alert"] for rule in rules["rules"] if f"`{rule['alert']}`" not in told] == []
