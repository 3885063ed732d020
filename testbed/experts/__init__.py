"""
What capacity-aware routing is compared with: a slow reference, random batches, and the official code.

`reference` is written from the paper, in loops that a reader can follow, and knows no tensor. `cases`
makes batches and needs torch, so only the engine's interpreter can import it; `official` takes the
authors' functions out of a checkout that is named at run time.
"""
