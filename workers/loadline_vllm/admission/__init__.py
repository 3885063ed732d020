"""
Admission by predicted memory, inside vLLM's scheduler.

`schedulers` has vLLM's scheduler with admission. It asks `scheduler_admissions`
at each hook, which knows vLLM's requests and blocks, and which asks the policy through `gates`. `guards`
ends all of that at the first failure, so that vLLM's own scheduling goes on. In the engine core's process
`core_rpc` takes settings and gives counts; in the engine's front-end `front_ends` takes the counts of all
cores. The arithmetic is in `loadline_policies.kv`.
"""
