"""
Runs the real Helm on a bed, with the chart of this checkout.

An error contains Helm's own output, which is what a user would read. Values are passed in a file, so
that a user can repeat an installation of a test.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loadline_api.names import SYSTEM_NAMESPACE
from testbed.charts import CHART
from testbed.cluster import binaries
from testbed.cluster.bed import Bed
from testbed.cluster.errors import BedError

PATIENCE_S = 240.0


class HelmFailed(BedError):
    """Helm failed; the text is its output."""


class Helm:
    """Helm's commands on one bed, in the system namespace."""

    def __init__(self, bed: Bed, *, namespace: str = SYSTEM_NAMESPACE) -> None:
        (self._program,) = binaries.need("helm")
        self._bed, self._namespace = bed, namespace

    def install(
        self, values: Mapping[str, Any], *, release: str = "loadline", chart: Path = CHART, wait: bool = True
    ) -> str:
        """Install the chart, or upgrade the release that is there, and wait until its pods are ready."""
        path = self._bed.directory / f"values-{release}.yaml"
        path.write_text(yaml.safe_dump(dict(values)))
        waiting = ("--wait", f"--timeout={PATIENCE_S:g}s") if wait else ()
        return self("upgrade", "--install", release, str(chart), "--values", str(path), *waiting)

    def __call__(self, *arguments: str) -> str:
        """Run a Helm command and return its output; HelmFailed if it fails."""
        environment = {
            "KUBECONFIG": str(self._bed.kubeconfig),
            "HOME": str(self._bed.directory),
            "PATH": "/usr/bin:/bin",
        }
        command = [str(self._program), *arguments, "--namespace", self._namespace]
        if arguments[0] == "upgrade":
            command.append("--create-namespace")
        done = subprocess.run(
            command,
            env=environment,
            text=True,
            capture_output=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise HelmFailed(f"helm {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout
