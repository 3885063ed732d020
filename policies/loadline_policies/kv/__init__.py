"""
KV: which requests an engine's KV memory has room for, and whose memory is taken when it has not.

A request holds one more token's keys and values with each token that it produces, so a batch that fits now
may not fit later. `peaks` says how many blocks a batch will need at most, given how long its requests become;
`lengths` and `length_buckets` estimate that; `admissions` decides by it whether a waiting request may start.
`victims` orders running requests by whose memory should be taken first. `predicted_memory` is the policy that
sets all of these. `budgets` bounds the memory of one request, whose less useful tokens are dropped then, and
`spans` keeps parts of its prompt from that. `memory_rungs` is the policy that chooses the budget of requests
that arrive, by what `engine_memories` describes; `rung_guards` ends it, and `advices` says what else would
help. Blocks are vLLM's: a fixed number of tokens in all layers of a group.

`analyses` puts beside each other what ways to keep KV cost a model: by `kv_formats`, by `sparse_reads` and
`rooflines` (bytes that are read), and by `layer_merging`. `analysis_results` are its document's fields.
"""
