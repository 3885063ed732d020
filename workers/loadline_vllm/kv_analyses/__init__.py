"""
Analyses: what a model's keys and values look like on given text, and what keeping them otherwise would
change.

A model of transformers runs with an attention of ours, one sequence at a time and one layer at a time, and
only sums are kept of what is seen. `analysed_models` runs it, `attentions` are what is put in the place of
its own, with `kv_roundings` to the formats of vLLM's KV cache. `layer_similarities` and `attention_masses`
look at keys and attention, `drifts` compares predictions, and `measurements` does all of it over the
sequences. Nothing here knows vLLM, and nothing runs in an engine.
"""
