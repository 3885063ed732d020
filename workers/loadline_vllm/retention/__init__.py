"""
Retention: bound the KV memory of each request inside vLLM, and give the blocks that become free back.

The arithmetic is in `loadline_policies.kv.budgets`: when a request is folded, and which blocks are free then.
Here `scores` says which tokens are worth keeping, `merges` makes one of several, `reductions` has both by the
names of policies, and `folds` moves what is left; all of these work on tensors alone.
`request_budgets` is what scheduler and worker know of one request, `specs` has the blocks given back in the
scheduler's process, and `row_folds` folds in the worker's, before the attention of a step. `cpu_backend` is
vLLM's attention on CPUs with that before it, `workers` its worker with the budgets of the requests that run,
`scheduler_budgets` gives requests theirs. `registrations` makes all of these known to vLLM.

`core_rpc` takes the budget of new requests from the channel and answers what the scheduler has counted
(`scheduler_counts`), `rank_rpc` what a rank has folded; `front_ends` adds both up (`core_answers`), publishes
and reports them.

`gates` say which tokens stay, once trained: `gate_training` does that outside of any engine, on a model that
`frozen_models` loads.
"""
