"""
The loop over the KV memory that each request holds, in the engines of one node.

`retention_loops` has a policy choose the budget of new requests at each report, by how full the engine's
memory is (`memory_readings`) and by what a budget costs, which `recall_canaries` measure with their own
`recall_prompts`. `spec_budgets` narrows what the policy asks for by the spec, and says why requests are
bounded or aren't; `service_statuses` shows it.
"""
