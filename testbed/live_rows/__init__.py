"""
A short row on real parts, to be attacked: a real API server, the operator, five agents and their guards.

What `shaken_rows` is on paper this is in processes: nothing but the GPUs below NVML is a fake, and
the plant behind them knows the true watts. `rows` brings it up, `scenarios` attack it, `judges` go by
the truth: of the breaker's heat, of what the nodes fall to, and of every sentence that a status says.
"""
