"""
Watts: who may draw how many, and who gives them up first.

`polca` and `baselines` decide by thresholds; `coordinators` turns such a decision
into leases for a domain's nodes and keeps the promises S1 and S2 whatever the
policy wants; `reliefs` lets single services off a cap under which they miss their
objective. `leases` is the node's side of the same protocol. `breakers` knows when a
breaker trips, `safe_states` where the nodes fall without us.
"""
