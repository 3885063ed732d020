"""What may befall a row on paper, one thing at a time, by name."""

from dataclasses import replace

from loadline_policies.power.protocol.messages import ServiceReport
from testbed.shaken_rows.rows import BUDGET_WATTS, Bench


def happen(bench: Bench, kind: str, *, index: int) -> None:
    """Let one thing befall the row; `index` says to whom."""
    agent = bench.agents[index]
    match kind:
        case "kill":
            agent.process.kill()
        case "restart" if not agent.process.up:
            agent.start()
        case "stop" if agent.process.up:
            agent.process.stop()
        case "resume" if agent.process.up:
            agent.process.resume()
        case "api":
            bench.site.lease.available = not bench.site.lease.available
        case "usurp":
            _usurp(bench, index % 3)
        case "worst":
            bench.demand(420.0)
        case "idle":
            bench.demand(80.0)
        case "mixed":
            for paper in bench.papers:
                paper.demand_watts = bench.random.uniform(80.0, 420.0)
        case "missed":
            for paper in bench.papers:
                node = paper.rating.node
                missed = bench.random.choice([None, -1.0, 0.5, 0.95, bench.random.uniform(1.0, 10.0)])
                bench.site.services[node] = (ServiceReport("default/chat", missed),)
        case "mode":
            bench.site.declare(replace(bench.site.domain, enforce=True))
        case "member":
            domain = bench.site.domain
            bench.site.declare(replace(domain, members=domain.members ^ {f"node-{3 + index % 7}"}))
        case "budget":
            bench.site.declare(
                replace(bench.site.domain, budget_watts=bench.random.choice([0.97, 1.0, 0.2]) * BUDGET_WATTS)
            )


def _usurp(bench: Bench, index: int) -> None:
    """Somebody takes the Kubernetes Lease although its holder is alive: two believe to lead."""
    agent, lease = bench.agents[index], bench.site.lease
    if (
        agent.process.up
        and not agent.process.stopped
        and lease.available
        and lease.record.holder != agent.name
    ):
        agent.leader.lead()
