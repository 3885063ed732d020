"""
Which expert computes which token, when no expert may compute more than its capacity.

A mixture-of-experts layer waits for its fullest rank. The functions here bound what an expert, or a
device, gets of one batch: `drops` leaves pairs out, `reroutes` offers them to the token's next best
experts, `expansions` fills gaps with experts of the token's own device. `calibrations` makes thresholds
of the scores of earlier batches, by which a token doesn't depend on its batch. `counters` computes from
the loads alone what a bound would drop and gain, and changes nothing.

All of it is pure torch and imports no vLLM. Shapes are static, every setting is a tensor, and no
operation waits for the device: so the functions can be captured in a CUDA graph, and traced by Dynamo
once for all settings. A pair is one token at one expert; T, K and E are the numbers of tokens, of
experts for each token, and of experts in the layer.

Source: Capacity-Aware Inference (arXiv 2503.05066). docs/designs/0011 lists what differs from it.
"""
