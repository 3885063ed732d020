"""
A split that is one, a rollout and a rest without loss: what serving on real pods comes to.

On a real node: first vLLM on this machine's CPU, with prefill and decode apart, then the
same model undivided, and the same prompts must get the same texts. Then the stand-in:
all engines of a loaded service are replaced, beside the same engine as a plain
Deployment in the same run; a service goes to zero and back; and the agents are rolled
while a row is held back.

    python -m benchmarks.serving

Writes benchmarks/results/serving.json.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from benchmarks.result_files import RESULTS, above, at_most, destination, finish, holds, parser, report
from demos.serving import trials
from demos.serving.clusters import Engine, ServingCluster
from demos.serving.rows import HeldRow

RESULT = RESULTS / "serving.json"
LOAD_GPUS = 4

Results = dict[str, float | bool]


def main() -> int:
    """Measure, print, write; 1 if a goal was missed."""
    asked = parser("benchmarks.serving", __doc__).parse_args()
    kept = destination(RESULT, writes=not asked.dirty)
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
            service = trials.serve(cluster, namespace="default", name="rest")
            results["scale_to_zero_and_back"] = trials.to_zero_and_back(service)
            trials.remove(service)
        with _told(console, "the agents rolled at peak"):
            results |= _agents(cluster)
    results["minutes"] = (time.monotonic() - began_s) / 60
    return finish(_report(results), kept)


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
    reason = "not so in this run"
    return report(
        "serving",
        inputs={"prompts": len(trials.PROMPTS), "replicas": 2, "requests_at_once": 4},
        seeds=[],
        results=results,
        checks=(
            above("external_kv_tokens", results["external_kv_tokens"], goal=0, reason=reason),
            holds(
                "split_text_equals_unsplit", value=bool(results["split_text_equals_unsplit"]), reason=reason
            ),
            at_most(
                "rolling_update_failed_requests",
                results["rolling_update_failed_requests"],
                goal=0,
                reason=reason,
            ),
            holds("scale_to_zero_and_back", value=bool(results["scale_to_zero_and_back"]), reason=reason),
            at_most(
                "agent_rollout_limits_raised", results["agent_rollout_limits_raised"], goal=0, reason=reason
            ),
        ),
    )


@contextmanager
def _told(console: Console, what: str) -> Iterator[None]:
    began_s = time.monotonic()
    with console.status(what):
        yield
    console.print(f"{what}: {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
