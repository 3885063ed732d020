"""What people get who install the wheel: all of the product, and nothing beside it."""

import json
import subprocess
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOORS = ("policies", "crds", "operator", "agents", "simulator", "workers", "cli")
SCRIPTS = {"loadline", "kubectl-loadline", "loadline-operator", "loadline-agent"}

IMPORT_ALL = """
import importlib, pkgutil, sys
of_the_host = sys.argv[1].split()
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in of_the_host:
                raise
            print(found.name)
"""
"""All modules; those that need a package of their host are printed. `tests/inside_engine` runs them."""

READ_DATA = """
from importlib.resources import files
from loadline_policies.documents import parse_power
from loadline_policies.models import parameters
assert parameters.load().gpus
parse_power((files("loadline_policies") / "defaults" / "power.yaml").read_text())
"""


def packages() -> list[Path]:
    """The directories of the packages, one under each floor."""
    return [found.parent for floor in FLOORS for found in (ROOT / floor).glob("loadline_*/__init__.py")]


def files_of(package: Path) -> set[str]:
    """A package's files as the wheel should name them."""
    return {
        found.relative_to(package.parent).as_posix()
        for found in package.rglob("*")
        if found.is_file() and "__pycache__" not in found.parts
    }


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The wheel's files."""
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


def python(installed: Path, *arguments: str) -> str:
    """What an isolated interpreter prints in the environment of the wheel."""
    done = subprocess.run(
        [installed / "python", "-I", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_packages_whole(names: list[str]) -> None:
    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == set().union(*map(files_of, packages()))


def test_nothing_but_our_packages_lands_at_the_top(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {package.name for package in packages()}


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_is_a_package_that_hides_another(floor: str) -> None:
    assert not (ROOT / floor / "__init__.py").exists()


@pytest.mark.parametrize(
    "pattern",
    [
        "loadline_policies/defaults/experts.yaml",
        "loadline_policies/defaults/power.yaml",
        "loadline_policies/models/a100-bloom-176b.yaml",
        "loadline_sim/data/*.csv.gz",
        "loadline_sim/data/LICENSE.*",
        "loadline_sim/reports/templates/*.html",
        "*/py.typed",
    ],
)
def test_data_travel_with_the_code(names: list[str], pattern: str) -> None:
    assert any(Path(name).match(pattern) for name in names)


def test_policies_and_api_need_no_extra(installed: Path) -> None:
    told = python(installed, "-c", IMPORT_ALL, "numpy", "loadline_policies", "loadline_api")
    assert {name.rpartition(".")[0] for name in told.split()} == {"loadline_policies.kv"}


def test_data_are_read_from_the_installed_package(installed: Path) -> None:
    python(installed, "-c", READ_DATA)


def test_the_standard_librarys_operator_is_its_own(installed: Path) -> None:
    told = python(installed, "-c", "import operator, os; print(os.__file__, operator.__file__)")
    library, module = map(Path, told.split())
    assert module == library.with_name("operator.py")


def test_every_command_is_installed(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} >= SCRIPTS


def test_every_command_leads_to_a_function(installed: Path) -> None:
    told = python(
        installed,
        "-c",
        "import importlib.metadata as m, json;"
        "print(json.dumps({e.name: e.value for e in m.distribution('loadline').entry_points"
        " if e.group == 'console_scripts'}))",
    )
    commands = json.loads(told)
    assert set(commands) == SCRIPTS
    for name, value in commands.items():
        assert callable(EntryPoint(name, value, "console_scripts").load())


def test_the_plug_in_that_vllm_finds_is_there_without_an_extra(installed: Path) -> None:
    python(installed, "-c", IMPORT_ALL, "numpy safetensors torch vllm", "loadline_vllm")
    told = python(
        installed,
        "-c",
        "import importlib.metadata as m;"
        "print(*[e.load().__module__ for group in ('general', 'endpoint')"
        " for e in m.entry_points(group=f'vllm.{group}_plugins')])",
    )
    assert told.split() == ["loadline_vllm.plugin", "loadline_vllm.endpoint"]


@pytest.mark.parametrize("command", ["loadline", "kubectl-loadline"])
def test_a_command_without_its_extra_says_what_to_install(installed: Path, command: str) -> None:
    done = subprocess.run([installed / command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'loadline[sim]'" in done.stderr
