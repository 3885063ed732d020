"""
The node in its power domain: its reports, its leases, and its turn as the coordinator.

Peers speak mutual TLS here. What the rest of the agent must provide (declarations, an
election, who owns a GPU, how services do) is `ports`; nothing here speaks to the API server.
"""
