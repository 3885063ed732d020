"""
A row of small nodes on paper, to be shaken: what the protocol's property tests and its bench drive.

Every node is an agent and a guard in virtual time, with the product's own halves of the protocol.
`rows` puts them together, `events` are what may befall them.
"""
