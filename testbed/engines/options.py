"""
The table of the engine's options that our API goes by, read out of the pinned engine's parser.

It lies among the API's models, since the rules of the API server follow from it, and is
written here, since only the engine's environment has the parser. Only how options are
called and how many values they take is kept: neither defaults nor help texts, which change
more often and matter to nobody here.
"""

import json
import subprocess
from pathlib import Path

from testbed.cluster.errors import BuildFailed
from testbed.engines.venvs import ENVIRONMENT, ROOT, TAIL_CHARACTERS, Venv

TABLE = ROOT / "crds" / "loadline_api" / "engine_options.json"

READ = """
import argparse, json, vllm
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

TAKES = {0: "none", None: "one", 1: "one", "?": "perhaps one", "*": "several", "+": "several"}

def takes(action):
    if isinstance(action, argparse.BooleanOptionalAction):
        return "none"
    return TAKES[action.nargs]

def names(action):
    return sorted(action.option_strings, key=lambda one: (not one.startswith("--"), one.startswith("--no-")))

parser = make_arg_parser(FlexibleArgumentParser())
options = [{"names": names(one), "takes": takes(one)} for one in parser._actions if one.option_strings]
print(json.dumps({"vllm": vllm.__version__, "options": sorted(options, key=lambda one: one["names"])}))
"""


def read(venv: Venv) -> str:
    """The table as the pinned engine's parser has it; BuildFailed if that can't be asked."""
    done = subprocess.run(
        [venv.python, "-c", READ],
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"the engine's options can't be read:\n{done.stderr[-TAIL_CHARACTERS:]}")
    return _laid_out(json.loads(done.stdout.splitlines()[-1]))


def write(venv: Venv) -> Path:
    """Bring the table up to date."""
    TABLE.write_text(read(venv), "utf-8")
    return TABLE


def _laid_out(table: dict[str, object]) -> str:
    """JSON with a line an option, so that a change is a line."""
    rows = table["options"]
    assert isinstance(rows, list)
    lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    return f'{{\n  "vllm": {json.dumps(table["vllm"])},\n  "options": [\n{lines}\n  ]\n}}\n'
