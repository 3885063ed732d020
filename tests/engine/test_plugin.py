"""The plugin as vLLM itself loads it, in processes that share their metrics."""

import subprocess
from pathlib import Path

import pytest

from loadline_vllm.presence import package_version
from testbed.engines.venvs import ENVIRONMENT, Venv

LOAD = "from vllm.plugins import load_general_plugins; load_general_plugins()"
COLLECT = f"""{LOAD}
from prometheus_client import generate_latest
from vllm.v1.metrics.prometheus import get_prometheus_registry
print(generate_latest(get_prometheus_registry()).decode())
"""


@pytest.mark.timeout(600)
def test_with_several_api_servers_the_plug_in_shows_once(
    engine_venv: Venv, plugins: Path, tmp_path: Path
) -> None:
    environment = {
        **ENVIRONMENT,
        "PYTHONPATH": str(plugins),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    for script in (LOAD, COLLECT):
        done = subprocess.run(
            [engine_venv.python, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.startswith("loadline:")]
    assert shown == [f'loadline:plugin_info{{version="{package_version()}"}} 1.0']
