"""
Agents, guards, an API server and a network in virtual time.

The protocol itself is `loadline_policies.power`: the real agent drives it with
sockets and a clock, this package with a queue of events, delays, losses and
crashes. The property tests shake it, and the virtual demo runs on it.
"""
