"""
Experts: what the uneven load of a layer's experts costs, and what bounding it would cost instead.

`placements` says which expert is on which rank, `capacities` how many pairs an expert may compute, and
`shadow_tables` what each bound would drop and gain, from counts alone. `redundancies` shares the memory for
redundant experts out to layers, and `drifts` says how far a placement still fits. `service_loads` is what a
policy of this loop observes and may ask for, `capacity_factor` such a policy. The words are the paper's
(Capacity-Aware Inference, arXiv 2503.05066): a pair is one token at one expert, γ the capacity as a
multiple of the mean load.
"""
