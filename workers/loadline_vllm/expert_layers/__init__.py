"""
The layers of experts of a model that vLLM serves: their load is counted, and a policy may bound it.

`registrations` stands in vLLM's place for such layers; `probes` decides which may be served. Each one that is
has a state (`layers`) around the algorithms of `loadline_vllm.experts`, which know no engine. In each rank's
process `worker_rpc` takes settings and gives counts; in the engine's front-end `front_ends` takes the counts
of all ranks. vLLM is imported inside functions only.
"""
