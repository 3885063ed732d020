"""
The schedulers, each in a module of its own: what happens when a request arrives and when a step ends.
"""
