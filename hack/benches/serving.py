"""
A split that is one, a rollout and a rest without loss: what serving on real pods comes to.

On a real node: first vLLM on this machine's CPU, with prefill and decode apart, then the
same model undivided, and the same prompts must get the same texts. Then the stand-in:
all engines of a loaded service are replaced, beside the same engine as a plain
Deployment in the same run; a service goes to zero and back; and the agents are rolled
while a row is held back.

    python -m hack.benches.serving

Writes benchmarks/results/serving.json.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from hack.benches import machine
from hack.serving import trials
from hack.serving.clusters import Engine, ServingCluster
from hack.serving.rows import HeldRow
from loadline_sim.reports import runs

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "serving.json"
LOAD_GPUS = 4

Results = dict[str, float | bool]


def main() -> int:
    """Measure, print, write; 1 if a goal was missed."""
    console = Console(stderr=True)
    results: Results = {}
    began_s = time.monotonic()
    with ServingCluster(Engine.VLLM) as cluster:
        cluster.install()
        with _told(console, "the same prompts, split and unsplit"):
            results |= _split(cluster)
    with ServingCluster(Engine.STANDIN, gpus=LOAD_GPUS) as cluster:
        cluster.install()
        with _told(console, "every engine replaced under load"):
            results |= _rolled(cluster)
        with _told(console, "to zero and back"):
            service = trials.serve(cluster, "default", "rest")
            results["scale_to_zero_and_back"] = trials.to_zero_and_back(service)
            trials.remove(service)
        with _told(console, "the agents rolled at peak"):
            results |= _agents(cluster)
    results["minutes"] = (time.monotonic() - began_s) / 60
    report = _report(results)
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    for name, value in results.items():
        print(f"{name:38} {value:>10}" if isinstance(value, bool) else f"{name:38} {value:10.1f}")
    for check in report["checks"]:
        print(f"{check['name']:38} {check['value']!s:>10} {check['goal']:>8}  {check['reason'] or 'kept'}")
    return int(not all(check["ok"] for check in report["checks"]))


def _split(cluster: ServingCluster) -> Results:
    found = trials.split(cluster, "default")
    return {
        "external_kv_tokens": found.external_tokens,
        "split_text_equals_unsplit": found.texts == found.unsplit_texts and len(set(found.texts)) > 1,
    }


def _rolled(cluster: ServingCluster) -> Results:
    ours, plain = trials.rollout(cluster, "default"), trials.plain_rollout(cluster, "default")
    trials.remove(cluster.service("chat"))
    return {
        "rolling_update_requests": ours.answered + ours.failed,
        "rolling_update_failed_requests": ours.failed,
        "plain_deployment_requests": plain.answered + plain.failed,
        "plain_deployment_failed_requests": plain.failed,
    }


def _agents(cluster: ServingCluster) -> Results:
    row = HeldRow(cluster)
    raises = row.roll_agents()
    return {"agent_rollout_looks": raises.looks, "agent_rollout_limits_raised": raises.count}


def _report(results: Results) -> dict[str, Any]:
    goals: tuple[tuple[str, str, bool], ...] = (
        ("external_kv_tokens", "> 0", results["external_kv_tokens"] > 0),
        ("split_text_equals_unsplit", "= true", bool(results["split_text_equals_unsplit"])),
        ("rolling_update_failed_requests", "= 0", results["rolling_update_failed_requests"] == 0),
        ("scale_to_zero_and_back", "= true", bool(results["scale_to_zero_and_back"])),
        ("agent_rollout_limits_raised", "= 0", results["agent_rollout_limits_raised"] == 0),
    )
    return {
        "name": "serving",
        "commit": runs.commit(),
        "machine": machine(),
        "inputs": {"prompts": len(trials.PROMPTS), "replicas": 2, "requests_at_once": 4},
        "seeds": [],
        "results": {
            name: value if isinstance(value, bool) else round(value, 1) for name, value in results.items()
        },
        "checks": [
            {
                "name": name,
                "value": results[name],
                "goal": goal,
                "ok": ok,
                "reason": "" if ok else "not so in this run",
            }
            for name, goal, ok in goals
        ],
    }


@contextmanager
def _told(console: Console, what: str) -> Iterator[None]:
    began_s = time.monotonic()
    with console.status(what):
        yield
    console.print(f"{what}: {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
