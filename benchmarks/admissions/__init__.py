"""
The parts of the benchmark of admission: vLLM's own scheduler, driven without a GPU.

`workloads` draws requests, `engines` steps a scheduler in simulated time, `schedulers` makes those that are
compared, `runs` sums one run up, `knees` looks for the rate to judge at, and `costs` times the decisions.
`measurements` does it all in the engine's interpreter. `goodputs` and `comparisons` need no engine.
"""
