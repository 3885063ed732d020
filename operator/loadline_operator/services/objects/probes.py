"""
How a container comes up, stays up and goes: probes, and an end that costs no request.

A model takes minutes to load and must not be killed for it, so a start has its own,
patient probe. A pod that is to go first waits while routers and Services forget it,
which takes a moment after it is marked; then the engine takes nothing new and ends what
it has. The kubelet waits as long as both take and no longer.

The times are chosen: they bound waiting, and nothing waits that long at rest.
"""

from loadline_api.names import HTTP_PORT
from loadline_operator.kube.kinds import Manifest

START_S = 1800
"""Half an hour for weights, compilation and warm-up; `template` gives a larger model more."""

START_PERIOD_S = 5
READY_PERIOD_S = 5
ALIVE_PERIOD_S = 10

HANGS_S = 90
"""So long an engine that answers nothing is left alone: a long prompt may keep it busy."""

FORGET_S = 10
"""Between the mark and SIGTERM: watchers need a fraction of a second, busy kube-proxies some."""

DRAIN_S = 300
"""For requests under way after SIGTERM: an answer of ten thousand tokens at 30 ms each."""

TEARDOWN_S = 30
"""For the processes to end after the last request: some ten seconds were seen."""

GRACE_S = FORGET_S + DRAIN_S + TEARDOWN_S


def engine_probes(*, tls: bool = False) -> Manifest:
    """Probes of a container that loads a model before it answers; the kubelet checks no certificate."""
    asked: Manifest = {"path": "/health", "port": HTTP_PORT, **({"scheme": "HTTPS"} if tls else {})}
    return {
        "startupProbe": _probe(asked, period_s=START_PERIOD_S, patience_s=START_S),
        "readinessProbe": _probe(asked, period_s=READY_PERIOD_S, patience_s=3 * READY_PERIOD_S),
        "livenessProbe": _probe(asked, period_s=ALIVE_PERIOD_S, patience_s=HANGS_S),
    }


def router_probes() -> Manifest:
    """Probes of the router, which is ready while it knows an engine of each phase."""
    ready, alive = ({"path": path, "port": HTTP_PORT} for path in ("/readiness", "/liveness"))
    return {
        "readinessProbe": _probe(ready, period_s=2, patience_s=6),
        "livenessProbe": _probe(alive, period_s=ALIVE_PERIOD_S, patience_s=HANGS_S),
    }


def forgotten_first() -> Manifest:
    """The hook that holds SIGTERM back while others learn that the pod goes."""
    return {"preStop": {"sleep": {"seconds": FORGET_S}}}


def _probe(asked: Manifest, *, period_s: int, patience_s: int) -> Manifest:
    return {
        "httpGet": dict(asked),
        "periodSeconds": period_s,
        "timeoutSeconds": min(period_s, 5),
        "failureThreshold": patience_s // period_s,
    }
