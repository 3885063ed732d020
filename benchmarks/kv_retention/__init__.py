"""
What is measured of retention, a module a subject; `benchmarks.kv` starts the parts and judges them.

`setups` says what one engine is asked. `engine_answers` and `reference_answers` answer that, with vLLM and
without; `idle_steps` steps an engine whose requests aren't folded yet, and `idle_costs` compares two of them.
`sessions` draws agentic sessions, and `prefix_hits` schedules them. `rank_agreements` folds one schedule over
different contents. `accuracies` asks the recall model what it remembers. `parts` runs all of these,
each in a process of its own, and `findings` compares what they print.
"""
