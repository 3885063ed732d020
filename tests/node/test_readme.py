"""
README's commands, typed one by one by a reader: from the install over Observe and Enforce to the removal.

Commands and manifest are read out of README itself and run in its order, on a real node with eight
fake GPUs. What a reader has and the test bed lacks is replaced as `INSTEAD` says. One story is
lived through once, and every test looks at a moment of it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadline_api import names
from testbed import pages
from testbed.cluster import binaries
from testbed.cluster.clients import Object
from testbed.cluster.node_beds import NodeBed
from testbed.fakegpu.board import Board, GpuSpec
from testbed.images import builds

pytestmark = pytest.mark.timeout(600)

ROOT = pages.README.parent
INSTALL, OBSERVE, ENFORCE = "Install", "The first five minutes: Observe", "From Observe to Enforce"

INSTEAD = {
    "gpu-1 gpu-2 gpu-3 gpu-4": "gpu-1",
    "budgetWatts: 24000": "budgetWatts: 6000",
    "--set image.tag=0.1.0": "--set image.tag=0.1.0 --set agent.runtimeClassName=nvidia",
    "drill row-a --report": "drill row-a --yes --report",
}
"""What is typed here in place of README's words.

The bed has one of the row's four nodes, so a quarter of its budget. Its containers get GPUs by a
RuntimeClass, for which README names the option. A test has no terminal on which the drill could ask.
"""

IMAGE = re.compile(r"IMAGE=(\S+) make images push")
"""Not run, since it needs a registry: the image is on the node already. `component/packaging` tests it."""

WATCH = "--watch"
DECIDED = re.compile(r"^row-a .* (?:LowDeep|High) +1 +True +False +gpu-1 ")
"""The line at which a reader stops watching: the coordinator has measured the row and decided."""

GPUS = GpuSpec(model="NVIDIA H100 80GB HBM3", min_watts=200, max_watts=700, default_watts=700, max_mhz=1980)
PEAK_WATTS, QUIET_WATTS = 370.0, 70.0
"""Draws of a GPU: with the server at its maximum, 93 and 53 percent of the budget."""

PATIENCE_S = 120

Limits = tuple[set[float], set[float]]
"""What the GPUs obey: limits in watts, and locked clocks in MHz, 0 where none is locked."""


class Reader:
    """Types what README has, on a machine with a clone of the repository, and keeps what was printed."""

    def __init__(self, bed: NodeBed, home: Path) -> None:
        self._home = home
        programs = home / "programs"
        programs.mkdir()
        for path in binaries.need("kubectl", "helm"):
            (programs / path.name).symlink_to(path)
        (home / "charts").symlink_to(ROOT / "charts")
        (home / ".venv").symlink_to(sys.prefix)
        own = {"KUBECONFIG": str(bed.kubeconfig), "HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}
        self._environment = {**os.environ, **own}
        self.printed: dict[str, str] = {}

    def follow(self, section: str) -> None:
        """Save and type everything that a section has, in its order."""
        for block in pages.blocks(pages.README):
            if block.section == section and block.file is not None:
                (self._home / block.file).write_text(replaced(block.text))
            elif block.section == section:
                for command in block.commands:
                    if not IMAGE.match(command):
                        self.printed[command] = self._type(replaced(command))

    def saw(self, start: str) -> str:
        """What README's last command that begins so has printed."""
        return [text for command, text in self.printed.items() if command.startswith(start)][-1]

    def _type(self, command: str) -> str:
        """What a command prints; AssertionError if it fails. A watch is ended once it shows `DECIDED`."""
        printed = ""
        with subprocess.Popen(
            ["timeout", str(PATIENCE_S), "bash", "-euo", "pipefail", "-c", command],
            cwd=self._home,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                printed += line
                if WATCH in command and DECIDED.match(line):
                    process.terminate()
                    return printed
        assert process.returncode == 0, f"{command}\n{printed}"
        return printed


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen, moment by moment."""

    reader: Reader
    drill: str
    writes_in_observe: int
    writes_at_last: int
    limits_found: Limits
    limits_left: Limits
    row_left: Object


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The three sections in turn: the row is observed at its peak, and switched in a quiet hour."""
    home, image = tmp_path_factory.mktemp("clone"), builds.ensure("loadline")
    with NodeBed(name="gpu-1") as bed:
        board = bed.add_gpus(8, GPUS).board
        bed.load_image(image.archive)
        bed.node.runtime.tag(image.name, image_of_readme())
        reader, limits_found = Reader(bed, home), limits(board)
        reader.follow(INSTALL)
        board.set_sensors(watts=PEAK_WATTS)
        reader.follow(OBSERVE)
        writes_in_observe = int(board.writes().sum())
        board.set_sensors(watts=QUIET_WATTS)
        reader.follow(ENFORCE)
        yield Story(
            reader=reader,
            drill=(home / "drill.md").read_text(),
            writes_in_observe=writes_in_observe,
            writes_at_last=int(board.writes().sum()),
            limits_found=limits_found,
            limits_left=limits(board),
            row_left=bed.client.get(names.POWER_DOMAINS.path("row-a")),
        )


def test_readme_still_has_what_is_replaced() -> None:
    text = pages.README.read_text("utf-8")
    assert [words for words in INSTEAD if text.count(words) != 1] == []


def test_the_install_passes_its_own_test(story: Story) -> None:
    assert "Phase:          Succeeded" in story.reader.saw("helm test")
    assert "successfully rolled out" in story.reader.saw("kubectl --namespace loadline-system rollout status")


def test_the_agent_finds_all_gpus_and_has_set_none(story: Story) -> None:
    (line,) = story.reader.saw("kubectl get nodecapacities").splitlines()[1:]
    assert re.fullmatch(r"gpu-1 +True +Unknown +False +\w+", line)
    described = story.reader.saw("kubectl describe nodecapacities")
    assert condition(described, "GpusReady") == ("True", "AllSeen")
    assert condition(described, "LimitsSettable") == ("Unknown", "NotWritten")
    for field in ("Min Watts: +200", "Max Watts: +700", "Enforced Watts: +700", "Persistence Mode: +On"):
        assert len(re.findall(rf"{field}\n", described)) == 8


def test_observe_shows_what_enforce_would_do_and_writes_nothing(story: Story) -> None:
    head, *_, last = story.reader.saw("kubectl get powerdomains").splitlines()
    row = dict(zip(head.split(), last.split(), strict=True))
    assert row["ACCEPTED"] == "True"
    assert (row["WATTS"], row["BUDGET"], row["NODES"]) == ("5560", "6000", "1")
    assert row["LEVEL"] in ("LowDeep", "High")
    assert 0 < int(row["HEAT"]) <= 50
    assert row["ENFORCING"] == "False"
    described = story.reader.saw("kubectl describe powerdomains")
    assert condition(described, "Enforceable") == ("True", "ReactionInTime")
    assert condition(described, "PowerCapped")[0] == "False"
    assert f"The policy's level is {row['LEVEL']}, and no limit is enforced." in described
    assert re.search(r"Brakes: +0\n", described)
    assert story.writes_in_observe == 0


def test_what_readme_asks_for_before_enforce_is_so(story: Story) -> None:
    described = story.reader.saw("kubectl describe powerdomains")
    for type_ in ("Accepted", "Enforceable", "SelectorTrusted"):
        assert condition(described, type_)[0] == "True"


def test_the_command_line_explains_the_policy_and_takes_the_charts(story: Story) -> None:
    assert "lowShallowMhz" in story.reader.saw(".venv/bin/loadline policies list")
    assert "power.yaml is valid: polca (power)" in story.reader.saw(".venv/bin/loadline policies check")


def test_the_upgrade_puts_its_policy_in_force(story: Story) -> None:
    (shipped,) = re.findall(r"hash (\w+)", story.reader.saw(".venv/bin/loadline policies check"))
    assert re.search(rf"Applied Policy Hash: +{shipped}\n", story.reader.saw("kubectl describe powerdomains"))
    assert story.row_left["status"]["appliedPolicyHash"] != shipped


def test_the_row_enforces_after_the_patch(story: Story) -> None:
    assert "condition met" in story.reader.saw(
        "kubectl wait powerdomains.loadline.dev/row-a --for=condition=Enforcing "
    )


def test_the_drill_reports_that_the_row_kept_its_promises(story: Story) -> None:
    assert "1 with 8 GPUs" in story.reader.saw(".venv/bin/loadline drill row-a --dry-run")
    assert "| GPUs at or below their safe limit | 8 of 8 | all | yes |" in story.drill
    assert "| outcome | Done | Done | yes |" in story.drill


def test_the_limits_that_were_found_are_given_back(story: Story) -> None:
    assert story.writes_at_last > 0
    assert story.limits_left == story.limits_found


def test_a_removal_leaves_the_rows_declaration(story: Story) -> None:
    assert "uninstalled" in story.reader.saw("helm uninstall")
    assert story.row_left["spec"]["mode"] == "Observe"


def image_of_readme() -> str:
    """The image that a reader has pushed."""
    (image,) = IMAGE.findall(pages.README.read_text("utf-8"))
    return str(image)


def replaced(text: str) -> str:
    """A text of README as it is typed here."""
    for words, instead in INSTEAD.items():
        text = text.replace(words, instead)
    return text


def limits(board: Board) -> Limits:
    return set(board.enforced_watts().ravel().tolist()), set(board.locked_mhz().ravel().tolist())


def condition(described: str, type_: str) -> tuple[str, str]:
    """Status and reason of a condition, as `kubectl describe` shows them."""
    found = re.findall(rf"Reason: +(\w+)\n +Status: +(\w+)\n +Type: +{type_}\n", described)
    ((reason, status),) = found
    return status, reason
