"""What every command shares: help that teaches, errors that help, codes that scripts can read."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from loadline_cli import app, kv_app, main, study_app
from loadline_cli.exits import CommandError, Exit


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "drill",
        "release",
        "policies",
        "policies list",
        "policies check",
        "simulate",
        "size",
        "study",
        "study experts",
        "kv",
        "kv train-gates",
        "kv analyse",
    ],
    ids=lambda name: name or "loadline",
)
def test_help(command: str, loadline: Any, same_as_before: Callable[[str, str], None]) -> None:
    ended = loadline(*command.split(), "--help")
    assert (ended.code, ended.err) == (Exit.OK, "")
    same_as_before(f"help-{command.replace(' ', '-') or 'loadline'}", ended.out)


@pytest.mark.parametrize("command", ["", "policies", "study", "kv"])
def test_without_a_command_help_is_shown(command: str, loadline: Any) -> None:
    assert loadline(*command.split()).out == loadline(*command.split(), "--help").out


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("unknown-command", ("frobnicate",), Exit.COULD_NOT_RUN),
        ("unknown-option", ("demo", "--seeds", "1"), Exit.COULD_NOT_RUN),
        ("seed-is-no-number", ("demo", "--seed", "x"), Exit.COULD_NOT_RUN),
        ("no-file-named", ("policies", "check"), Exit.COULD_NOT_RUN),
        ("no-such-file", ("policies", "check", "nowhere.yaml"), Exit.COULD_NOT_RUN),
        ("no-such-policy", ("policies", "list", "polka"), Exit.COULD_NOT_RUN),
    ],
)
def test_errors(
    name: str,
    arguments: tuple[str, ...],
    code: Exit,
    loadline: Any,
    same_as_before: Callable[[str, str], None],
) -> None:
    ended = loadline(*arguments)
    assert (ended.code, ended.out) == (code, "")
    same_as_before(f"error-{name}", ended.err)


def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(arguments: list[str], program: str) -> int:
        raise ModuleNotFoundError("No module named 'rich'", name="rich.console")

    monkeypatch.setattr(main, "_run", missing)
    assert main.run(["demo"], "loadline") == Exit.COULD_NOT_RUN
    assert capsys.readouterr().err == (
        "error: this command needs the Python package `rich.console`, which isn't installed\n"
        "hint: pip install 'loadline[sim]'\n"
    )


def test_a_missing_module_of_our_own_is_a_bug_and_not_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str], program: str) -> int:
        raise ModuleNotFoundError("No module named 'loadline_cli.nothing'", name="loadline_cli.nothing")

    monkeypatch.setattr(main, "_run", broken)
    with pytest.raises(ModuleNotFoundError):
        main.run(["demo"], "loadline")


def test_ctrl_c_ends_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: list[str], program: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_run", interrupted)
    assert main.run(["demo"], "loadline") == Exit.INTERRUPTED


@pytest.mark.parametrize(
    ("path", "name"),
    [("/usr/bin/loadline", "loadline"), ("/home/me/bin/kubectl-loadline", "kubectl loadline")],
)
def test_as_a_kubectl_plugin_help_says_kubectl(path: str, name: str) -> None:
    assert main.program_name(path) == name


def test_help_waits_for_no_heavy_import() -> None:
    heavy = "numpy", "numba", "matplotlib", "jinja2", "yaml", "rich.live", "kubernetes"
    script = (
        "import sys\nfrom loadline_cli import main\n"
        "main.run(['--help'], 'loadline')\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"


def test_the_version_is_the_distributions(loadline: Any) -> None:
    assert loadline("--version").out.startswith("loadline 0.")


def test_completion_is_offered(loadline: Any) -> None:
    assert "--install-completion" in loadline("--help").out


def test_an_error_without_a_hint_is_one_line() -> None:
    assert CommandError("no").lines() == "error: no"


def test_every_command_has_an_example_and_its_exit_codes() -> None:
    for command in (app.demo, app.drill, app.list_policies, app.check, study_app.experts, kv_app.analyse):
        text = inspect.cleandoc(command.__doc__ or "")
        assert "\n  loadline " in text
        assert "Exit codes: 0 " in text
