"""
What the tests, the demos and the benchmarks run the product in; nothing of it is shipped.

Real parts, brought up on one machine: `cluster` a Kubernetes, `engines` a vLLM, `images` what
its pods run. Fakes only where the thing can't exist here: `fakegpu` below NVML. `doubles` are
our own processes without what usually surrounds them.
"""
