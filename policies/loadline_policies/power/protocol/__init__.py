"""
How nodes and their coordinator keep a domain within its budget: reports, leases, epochs.

Clockless and without sockets: time, messages and what was read back come in, leases and limits
go out. Whose watts go first is the policies' business, one folder up.
"""
