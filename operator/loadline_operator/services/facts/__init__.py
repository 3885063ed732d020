"""
What is known of a service: small frozen facts of objects, pods, nodes and autoscalers.

A fact is made of a Kubernetes object by a pure function and kept in a table until an event
changes it. `index` finds which service an event is about.
"""
