"""
Experts of a mixture-of-experts model that don't all fit into the GPU's memory: what is moved, and when.

Pure functions over recorded routing, for `loadline study experts`. No model runs here, and nothing
here is part of an engine: vLLM 0.32 keeps all experts of a rank in memory. The study answers what an
engine with an expert cache would gain from a policy, before such an engine exists.
"""
