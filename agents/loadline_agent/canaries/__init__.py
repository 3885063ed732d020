"""
Canaries: test prompts by which an agent measures what a bound costs in quality, on the engine that serves.

`measurements` decides when an engine is asked and what its readings are worth. A loop that bounds an engine
has its own prompts, from the same `texts`; `model_answers` reads what comes back.
"""
