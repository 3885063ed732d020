"""
Every sentence that a status says of the row, and for how long it may lag behind the truth.

A status is written a moment after what it tells of: a sentence is false once it has contradicted the
truth for longer than that. What only a coordinator can correct counts while there is one, what only an
agent can while that runs; who leads is to be corrected by whoever succeeds, which takes the 15 s of the
Kubernetes Lease and an election. Limits are written every ten seconds at most.
"""

from typing import Final

from testbed.live_rows import domain_statements, node_statements
from testbed.live_rows.sights import Statement

STATEMENTS: Final = (
    Statement("LimitsSettable", 5.0, node_statements.settable),
    Statement("Conflict", 8.0, node_statements.conflict),
    Statement("Enforcing of the node", 5.0, node_statements.armed),
    Statement("GpusReady", 5.0, node_statements.gpus_ready),
    Statement("enforcedWatts", 13.0, node_statements.limits),
    Statement("coordinator", 25.0, domain_statements.coordinator),
    Statement("level", 8.0, domain_statements.holdable),
    Statement("Holdable", 8.0, domain_statements.said_holdable),
    Statement("NotRefreshed", 5.0, domain_statements.kept),
    Statement("PowerCapped", 6.0, domain_statements.capped),
    Statement("WithinBudget", 5.0, domain_statements.within),
    Statement("silentNodes", 7.0, domain_statements.silent),
    Statement("Enforcing", 5.0, domain_statements.enforcing),
    Statement("safeWatts", 45.0, domain_statements.safe_watts),
    Statement("Accepted", 10.0, domain_statements.accepted),
    Statement("PolicyValid", 5.0, domain_statements.policy_valid),
    Statement("appliedPolicyHash", 5.0, domain_statements.applied_policy),
    Statement("observedWatts", 0.0, domain_statements.watts),
    Statement("heatPercent", 0.0, domain_statements.heat),
)
