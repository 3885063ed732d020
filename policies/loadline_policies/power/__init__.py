"""
Watts: who may draw how many, and who gives them up first.

What a policy's author needs lies here: `rows` is what a policy sees and says, `polca` and
`baselines` decide by thresholds, `registry` lists them. Behind them, `protocol` turns a
decision into leases for a domain's nodes and keeps the promises S1 and S2 whatever the policy
wants, `safety` knows when a breaker trips and where nodes fall without us, and `relief` lifts
single services from a cap under which they miss their objective.
"""
