"""
What the benchmark of expert parallelism measures with: recorded batches, ways to place and bound their
experts, and processes that compute them.

`recorded` reads the routing, `arms` decides placement and capacity, `dispatches` makes of a batch what each
rank sends and computes, `ranks` runs and times that, and `steps`, which the engine's interpreter runs, does
one after the other. `step_models` fits the times. All but `recorded` and `step_models` need torch.
"""
