"""vLLM warns while it is imported, and so is imported here first."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import loadline_vllm.schedulers
    from loadline_vllm.retention import cpu_backend

assert loadline_vllm.schedulers
assert cpu_backend
