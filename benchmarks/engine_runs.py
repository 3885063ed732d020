"""
Runs a part of a benchmark in the engine's interpreter, which has torch and vLLM, and reads what it prints.

Progress of that part goes to stderr. The last line of its stdout is a JSON document.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from testbed.engines import venvs

ROOT = Path(__file__).parents[1]
PATHS = (".", "policies", "crds", "simulator", "workers")


def run(module: str, *arguments: str) -> dict[str, Any]:
    """What `python -m module arguments` prints there."""
    done = subprocess.run(
        (venvs.ensure().python, "-m", module, *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in PATHS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed
