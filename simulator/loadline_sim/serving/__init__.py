"""
Servers of a cluster, iteration by iteration: who serves which request, in which batch, and when.

A scheduler says what happens (`schedulers`, by name), the loop says in which order (`loops`), and
neither keeps a Python object of a request or a token: all of it is arrays and compiled.
"""
