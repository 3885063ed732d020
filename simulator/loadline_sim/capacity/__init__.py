"""
Questions about a fleet, answered by a simulation of requests: what latency, and how many servers.
"""
