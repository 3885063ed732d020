"""
The power protocol's promise as a small executable model, to be attacked before the product is built.

The model knows the rule's text (docs/designs/0002) and nothing of the product: nodes of one GPU
each, the leader's beliefs beside the truth, an adversary that chooses what fails, and oracles that
state the promise. Where the first text was wrong, `rules.Rule` keeps both sentences, so that a
test can show what the old one breaks.

`steps.step` is the model: one second, from one frozen value to the next. `explorations` runs it
at random and exhaustively in the small, `scenarios` by name.
"""
