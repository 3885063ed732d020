"""
Runs splitwise-sim itself, from a checkout that its user has, and says how long its own loop took.

Its code stays what it is: a few lines around it time `Simulator.run`, the loop over events, after all is
read and built and before results are written.
"""

import csv
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from loadline_policies.errors import InvalidInput
from loadline_sim.traffic.traces import Trace

AROUND: Final = """
import runpy, sys, time
sys.path.insert(0, ".")
import simulator
loop = simulator.Simulator.run
def timed(self):
    began_s = time.perf_counter()
    loop(self)
    print("loop took", time.perf_counter() - began_s)
simulator.Simulator.run = timed
runpy.run_path("run.py", run_name="__main__")
"""

COLUMNS: Final = (
    "request_id",
    "request_type",
    "application_id",
    "arrival_timestamp",
    "batch_size",
    "prompt_size",
    "token_size",
)
CONFIGURATION: Final = (
    "cluster=half_half",
    "cluster.servers.0.count=26",
    "cluster.servers.1.count=25",
    "start_state=splitwise",
    "start_state.split_type=heterogeneous",
    "applications.0.scheduler=mixed_pool",
    "performance_model=db",
)


def seconds(checkout: Path, python: str, trace: Trace) -> float:
    """How long the peer's loop took over these requests. InvalidInput if it doesn't run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.csv"
        with file.open("w", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            rows = zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True)
            for index, (arrival_s, prompt, output) in enumerate(rows):
                writer.writerow([index, 2, 0, repr(float(arrival_s)), 1, int(prompt), int(output)])
        done = subprocess.run(
            [python, "-c", AROUND, *CONFIGURATION, f"trace.path={file}", f"output_dir={folder}/out"],
            cwd=checkout,
            check=False,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        end = done.stderr.strip().splitlines()[-3:]
        raise InvalidInput("--peer", str(checkout), fix=f"see that its run.py works: {' '.join(end)}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("loop took"))
    return float(line.rsplit(" ", 1)[1])
