"""
The KV of a prompt on its way to another server: it goes once that one has room, and takes its time.

Its memory is held on both sides meanwhile. Transfers don't slow each other down, as over a network
with more bandwidth between any two servers than one of them can use.
"""

from typing import Final

from loadline_sim.compiled import compiled
from loadline_sim.serving import events, simulations
from loadline_sim.serving.simulations import Simulation

RETRY_S: Final = 1.0
"""How long a transfer waits that finds no room, before it is tried again: splitwise-sim's."""


@compiled
def send(simulation: Simulation, request: int) -> None:
    """Begin to send the KV of a request's prompt, or try again in a while."""
    it, fleet, seconds = simulation.requests[request], simulation.fleet, RETRY_S
    if simulations.has_room(simulation, it.token_server, it.held_bytes + it.shared_bytes):
        fleet.servers[it.token_server].used_bytes += it.held_bytes + it.shared_bytes
        it.is_sent = 1
        seconds = it.prompt_tokens * fleet.token_bytes / fleet.bytes_per_s
    events.push(simulation.events, simulation.now_s[0] + seconds, events.TRANSFER, request)


@compiled
def is_done(simulation: Simulation, request: int) -> bool:
    """Whether the KV has come; then the memory on its old side is free. Else it is sent now, or later."""
    it = simulation.requests[request]
    if not it.is_sent:
        send(simulation, request)
        return False
    simulations.free(simulation, it.prompt_server, request)
    it.held_bytes, it.shared_bytes = it.held_bytes + it.shared_bytes, 0
    simulations.settle(simulation, it.prompt_server, it.prompt_tokens + 1)
    return True
