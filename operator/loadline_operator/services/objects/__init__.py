"""
What a service becomes: the manifests of its objects, each made by a pure function.

`manifests` puts them together; a module a kind, and what all of them share: pools, engine
arguments, pod templates, the chart's defaults.
"""
